//! Formats that are numbers already. Inputs stay as they are, in f32.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use nearside_gguf::DataType;

use super::Format;
use crate::simd::dot_f32;

/// Narrow weights are widened so many at a time.
const STRIP: usize = 256;

impl Format for f32 {
    const DATA_TYPE: DataType = DataType::F32;
    type Input = f32;

    fn zero() -> Self {
        0.0
    }

    fn zero_input() -> f32 {
        0.0
    }

    fn prepare(values: &[f32], inputs: &mut [f32]) {
        inputs.copy_from_slice(values);
    }

    fn dot(weights: &[Self], inputs: &[f32]) -> f32 {
        dot_f32(weights, inputs)
    }

    fn expand(weights: &[Self], values: &mut [f32]) {
        values.copy_from_slice(weights);
    }
}

macro_rules! narrow_float {
    ($number:ty, $data_type:ident) => {
        impl Format for $number {
            const DATA_TYPE: DataType = DataType::$data_type;
            type Input = f32;

            fn zero() -> Self {
                <$number>::ZERO
            }

            fn zero_input() -> f32 {
                0.0
            }

            fn prepare(values: &[f32], inputs: &mut [f32]) {
                inputs.copy_from_slice(values);
            }

            fn dot(weights: &[Self], inputs: &[f32]) -> f32 {
                let mut strip = [0.0; STRIP];
                let mut sum = 0.0;
                for (weights, inputs) in weights.chunks(STRIP).zip(inputs.chunks(STRIP)) {
                    let strip = &mut strip[..weights.len()];
                    weights.convert_to_f32_slice(strip);
                    sum += dot_f32(strip, inputs);
                }
                sum
            }

            fn expand(weights: &[Self], values: &mut [f32]) {
                weights.convert_to_f32_slice(values);
            }
        }
    };
}

narrow_float!(f16, F16);
narrow_float!(bf16, Bf16);
