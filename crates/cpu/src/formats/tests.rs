//! Every format against candle-core's own expansion, which is not used in products.

use candle_core::CpuStorage;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::k_quants::{BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4K, BlockQ5K, BlockQ6K, BlockQ8_0};
use half::{bf16, f16};

use super::{Format, Q4_1, Q5_0, Q5_1};
use crate::simd::bytes_mut;

/// Bytes of blocks whose half floats are all finite.
fn stored<F: Format>(blocks: usize, seed: u32) -> Vec<F> {
    let mut stored = vec![F::zero(); blocks];
    let mut state = seed;
    for byte in bytes_mut(&mut stored) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8 & 0xbf;
    }
    stored
}

fn agrees<F: Format>(candle: GgmlDType) {
    let elements = F::DATA_TYPE.block_elements();
    for blocks in [1, 3, 5] {
        let mut weights = stored::<F>(blocks, blocks as u32);
        let count = blocks * elements;
        let mut values = vec![0.0; count];
        F::expand(&weights, &mut values);
        // Candle wants its input aligned as the blocks are.
        let mut bytes: Vec<u16> = vec![0; size_of_val(weights.as_slice()) / 2];
        bytemuck::cast_slice_mut::<u16, u8>(&mut bytes).copy_from_slice(bytes_mut(&mut weights));
        let CpuStorage::F32(theirs) =
            candle.from_data(bytemuck::cast_slice::<u16, u8>(&bytes).into()).dequantize(count).expect("whole blocks")
        else {
            panic!("expansion is to f32");
        };
        let largest = theirs.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        for (ours, theirs) in values.iter().zip(&theirs) {
            assert!((ours - theirs).abs() <= 1e-6 * largest, "{}: {ours} for {theirs}", F::DATA_TYPE.name());
        }
        let inputs: Vec<f32> = (0..count).map(|index| ((index * 37 % 101) as f32 - 50.0) / 50.0).collect();
        let mut prepared = vec![F::zero_input(); count / F::DATA_TYPE.block_elements()];
        F::prepare(&inputs, &mut prepared);
        let product = F::dot(&weights, &prepared);
        let exact: f64 = values.iter().zip(&inputs).map(|(value, input)| f64::from(value * input)).sum();
        let size: f64 = values.iter().map(|value| f64::from(value.abs())).sum();
        // Inputs are rounded to 8 bits: at most half a step each.
        assert!((f64::from(product) - exact).abs() <= size / 254.0, "{}: {product} for {exact}", F::DATA_TYPE.name());
    }
}

#[test]
fn every_format_expands_and_multiplies_as_the_reference_does() {
    agrees::<f16>(GgmlDType::F16);
    agrees::<bf16>(GgmlDType::BF16);
    agrees::<Q4_1>(GgmlDType::Q4_1);
    agrees::<Q5_0>(GgmlDType::Q5_0);
    agrees::<Q5_1>(GgmlDType::Q5_1);
    agrees::<BlockQ4_0>(GgmlDType::Q4_0);
    agrees::<BlockQ8_0>(GgmlDType::Q8_0);
    agrees::<BlockQ2K>(GgmlDType::Q2K);
    agrees::<BlockQ3K>(GgmlDType::Q3K);
    agrees::<BlockQ4K>(GgmlDType::Q4K);
    agrees::<BlockQ5K>(GgmlDType::Q5K);
    agrees::<BlockQ6K>(GgmlDType::Q6K);
}
