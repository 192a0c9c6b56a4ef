//! How weights of each storage format are multiplied.

mod candle;
mod float;
mod nibble;
#[cfg(test)]
mod tests;

use nearside_gguf::DataType;

use crate::simd::PlainBlock;

/// A block of consecutive weights as the file stores it.
pub(crate) trait Format: PlainBlock {
    /// The storage format.
    const DATA_TYPE: DataType;
    /// What inputs are turned into once, before they meet many rows of weights.
    type Input: Send + Sync + Clone;

    /// A block of zeros.
    fn zero() -> Self;

    /// What [`Format::prepare`] fills, one for each block.
    fn zero_input() -> Self::Input;

    /// Turns inputs, whole blocks of them, into the form that [`Format::dot`] takes.
    fn prepare(values: &[f32], inputs: &mut [Self::Input]);

    /// The scalar product of one row of weights with one row of inputs.
    fn dot(weights: &[Self], inputs: &[Self::Input]) -> f32;

    /// The same for several rows of inputs, one after the other.
    fn dot_rows(weights: &[Self], inputs: &[Self::Input], products: &mut [f32]) {
        for (inputs, product) in inputs.chunks_exact(weights.len()).zip(products) {
            *product = Self::dot(weights, inputs);
        }
    }

    /// The weights as plain numbers.
    fn expand(weights: &[Self], values: &mut [f32]);
}

#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
pub(crate) use nibble::steps;
pub(crate) use nibble::{Input, Nibbles, Q4_1, Q5_0, Q5_1};
