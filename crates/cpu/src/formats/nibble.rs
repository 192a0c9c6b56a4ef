//! The 32-element formats for which candle-core has only a plain loop that also insists on an even
//! number of blocks: Q4_1, Q5_0 and Q5_1.

use bytemuck::{Pod, Zeroable};
use half::f16;
use nearside_gguf::DataType;

use super::Format;
use crate::simd::dot_32;

/// Elements in a block.
pub(crate) const BLOCK: usize = 32;

/// 32 inputs as 8-bit integers with one scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Input {
    /// What one step of the integers is worth.
    pub(crate) scale: f32,
    /// The sum of the integers times the scale: what a weight's minimum is multiplied with.
    pub(crate) sum: f32,
    /// The integers.
    pub(crate) steps: [i8; BLOCK],
}

/// 4 bits, scale and minimum: `scale * bits + minimum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Q4_1 {
    scale: [u8; 2],
    minimum: [u8; 2],
    low: [u8; BLOCK / 2],
}

/// 5 bits and a scale: `scale * (bits - 16)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Q5_0 {
    scale: [u8; 2],
    high: [u8; BLOCK / 8],
    low: [u8; BLOCK / 2],
}

/// 5 bits, scale and minimum: `scale * bits + minimum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Q5_1 {
    scale: [u8; 2],
    minimum: [u8; 2],
    high: [u8; BLOCK / 8],
    low: [u8; BLOCK / 2],
}

/// A block taken apart: each weight is `scale * steps + minimum`.
struct Parts {
    scale: f32,
    minimum: f32,
    steps: [i8; BLOCK],
}

trait Nibbles: Pod {
    fn parts(&self) -> Parts;
}

fn number(stored: [u8; 2]) -> f32 {
    f16::from_le_bytes(stored).to_f32()
}

/// Elements 0 to 15 are the low halves of the bytes, 16 to 31 the high halves.
#[inline(always)]
fn four_bits(low: &[u8; BLOCK / 2]) -> [i8; BLOCK] {
    let mut steps = [0; BLOCK];
    for (index, byte) in low.iter().enumerate() {
        steps[index] = (byte & 15) as i8;
        steps[index + BLOCK / 2] = (byte >> 4) as i8;
    }
    steps
}

/// Bit `i` of `high` is element `i`'s fifth bit.
#[inline(always)]
fn five_bits(low: &[u8; BLOCK / 2], high: [u8; BLOCK / 8], offset: i8) -> [i8; BLOCK] {
    let high = u32::from_le_bytes(high);
    let mut steps = four_bits(low);
    for (index, step) in steps.iter_mut().enumerate() {
        *step = (*step | (((high >> index) & 1) << 4) as i8) - offset;
    }
    steps
}

impl Nibbles for Q4_1 {
    #[inline(always)]
    fn parts(&self) -> Parts {
        Parts { scale: number(self.scale), minimum: number(self.minimum), steps: four_bits(&self.low) }
    }
}

impl Nibbles for Q5_0 {
    #[inline(always)]
    fn parts(&self) -> Parts {
        Parts { scale: number(self.scale), minimum: 0.0, steps: five_bits(&self.low, self.high, 16) }
    }
}

impl Nibbles for Q5_1 {
    #[inline(always)]
    fn parts(&self) -> Parts {
        Parts { scale: number(self.scale), minimum: number(self.minimum), steps: five_bits(&self.low, self.high, 0) }
    }
}

fn prepare(values: &[f32], inputs: &mut [Input]) {
    for (values, input) in values.chunks_exact(BLOCK).zip(inputs) {
        let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let scale = largest / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut total = 0;
        for (value, step) in values.iter().zip(&mut input.steps) {
            *step = (value * inverse).round() as i8;
            total += i32::from(*step);
        }
        input.scale = scale;
        input.sum = scale * total as f32;
    }
}

macro_rules! nibble_format {
    ($($block:ty => $data_type:ident;)*) => {
        $(impl Format for $block {
            const DATA_TYPE: DataType = DataType::$data_type;
            type Input = Input;

            fn zero() -> Self {
                Self::zeroed()
            }

            fn zero_input() -> Input {
                Input { scale: 0.0, sum: 0.0, steps: [0; BLOCK] }
            }

            fn prepare(values: &[f32], inputs: &mut [Input]) {
                prepare(values, inputs);
            }

            fn dot(weights: &[Self], inputs: &[Input]) -> f32 {
                let mut sum = 0.0;
                for (block, input) in weights.iter().zip(inputs) {
                    let parts = block.parts();
                    let product = dot_32(&parts.steps, &input.steps);
                    sum += parts.scale * input.scale * product as f32 + parts.minimum * input.sum;
                }
                sum
            }

            fn expand(weights: &[Self], values: &mut [f32]) {
                for (block, values) in weights.iter().zip(values.chunks_exact_mut(BLOCK)) {
                    let parts = block.parts();
                    for (value, step) in values.iter_mut().zip(parts.steps) {
                        *value = parts.scale * f32::from(step) + parts.minimum;
                    }
                }
            }
        })*
    };
}

nibble_format! {
    Q4_1 => Q4_1;
    Q5_0 => Q5_0;
    Q5_1 => Q5_1;
}
