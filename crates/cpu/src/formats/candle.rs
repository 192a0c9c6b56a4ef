//! Formats whose kernels candle-core brings.

use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4K, BlockQ5K, BlockQ6K, BlockQ8_0, GgmlType,
};
use nearside_gguf::DataType;

use super::Format;

macro_rules! candle_format {
    ($($block:ty => $data_type:ident;)*) => {
        $(impl Format for $block {
            const DATA_TYPE: DataType = DataType::$data_type;
            type Input = <$block as GgmlType>::VecDotType;

            fn zero() -> Self {
                <Self as GgmlType>::zeros()
            }

            fn zero_input() -> Self::Input {
                Self::Input::zeros()
            }

            fn prepare(values: &[f32], inputs: &mut [Self::Input]) {
                Self::Input::from_float(values, inputs);
            }

            fn dot(weights: &[Self], inputs: &[Self::Input]) -> f32 {
                <Self as GgmlType>::vec_dot(weights.len() * Self::BLCK_SIZE, weights, inputs)
            }

            fn expand(weights: &[Self], values: &mut [f32]) {
                <Self as GgmlType>::to_float(weights, values);
            }
        })*
    };
}

candle_format! {
    BlockQ4_0 => Q4_0;
    BlockQ8_0 => Q8_0;
    BlockQ2K => Q2K;
    BlockQ3K => Q3K;
    BlockQ4K => Q4K;
    BlockQ5K => Q5K;
    BlockQ6K => Q6K;
}
