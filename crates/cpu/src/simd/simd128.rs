//! WebAssembly with 128-bit vectors.

use std::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_extract_lane, f32x4_mul, f32x4_splat, i8x16_eq, i16x8_extend_high_i8x16,
    i16x8_extend_low_i8x16, i32x4_add, i32x4_dot_i16x8, u8x16, u8x16_shr, u8x16_splat, u8x16_swizzle, u32x4_splat,
    v128, v128_and, v128_load, v128_or,
};

use crate::formats::{Input, Nibbles};

#[expect(clippy::cast_ptr_alignment, reason = "`v128_load` takes any alignment")]
pub(super) fn dot_nibbles<F: Nibbles, const N: usize>(weights: &[F], inputs: [&[Input]; N]) -> [f32; N] {
    let mut sums = [f32x4_splat(0.0); N];
    let mut minimums = [0.0; N];
    let inputs = inputs.map(|inputs| &inputs[..weights.len()]);
    for (index, block) in weights.iter().enumerate() {
        // SAFETY: reads the 16 bytes of `low`; alignment is not needed.
        let low = unsafe { v128_load(block.low().as_ptr().cast::<v128>()) };
        let mut left = v128_and(low, u8x16_splat(15));
        let mut right = u8x16_shr(low, 4);
        if F::FIVE_BITS {
            let high = u32x4_splat(block.high());
            left = v128_or(left, fifth_bits(high, 0));
            right = v128_or(right, fifth_bits(high, 2));
        }
        let (scale, minimum) = (block.scale(), block.minimum());
        for row in 0..N {
            let input = &inputs[row][index];
            let values = input.steps.as_ptr().cast::<v128>();
            // SAFETY: reads the first 16 of the 32 bytes of `steps`; alignment is not needed.
            let first = unsafe { v128_load(values) };
            // SAFETY: reads the last 16 of them.
            let second = unsafe { v128_load(values.add(1)) };
            let products = i32x4_add(dot_16(left, first), dot_16(right, second));
            let scaled = f32x4_mul(f32x4_convert_i32x4(products), f32x4_splat(scale * input.scale));
            sums[row] = f32x4_add(sums[row], scaled);
            minimums[row] += minimum * input.sum;
        }
    }
    let mut products = minimums;
    for (product, sums) in products.iter_mut().zip(sums) {
        *product += total(sums);
    }
    products
}

fn total(sums: v128) -> f32 {
    f32x4_extract_lane::<0>(sums)
        + f32x4_extract_lane::<1>(sums)
        + f32x4_extract_lane::<2>(sums)
        + f32x4_extract_lane::<3>(sums)
}

fn dot_16(left: v128, right: v128) -> v128 {
    i32x4_add(
        i32x4_dot_i16x8(i16x8_extend_low_i8x16(left), i16x8_extend_low_i8x16(right)),
        i32x4_dot_i16x8(i16x8_extend_high_i8x16(left), i16x8_extend_high_i8x16(right)),
    )
}

/// 16 in each byte whose bit is set, for the 16 bits from byte `first` on.
fn fifth_bits(bits: v128, first: u8) -> v128 {
    let (one, two) = (first, first + 1);
    let spread = u8x16(one, one, one, one, one, one, one, one, two, two, two, two, two, two, two, two);
    let own = u8x16(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128);
    let bytes = u8x16_swizzle(bits, spread);
    v128_and(i8x16_eq(v128_and(bytes, own), own), u8x16_splat(16))
}
