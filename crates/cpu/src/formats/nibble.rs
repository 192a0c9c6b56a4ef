//! The 32-element formats for which candle-core has only a plain loop that also insists on an even
//! number of blocks: `Q4_1`, `Q5_0` and `Q5_1`.

use bytemuck::{Pod, Zeroable};
use nearside_gguf::DataType;

use super::Format;
use crate::simd::{PlainBlock, dot_nibbles};

/// Elements in a block.
pub(crate) const BLOCK: usize = 32;

/// 32 inputs as 8-bit integers with one scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Input {
    /// What one step of the integers is worth.
    pub(crate) scale: f32,
    /// The sum of the integers times the scale: what a weight's minimum is multiplied with.
    pub(crate) sum: f32,
    /// The integers, within ±127.
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

/// A block whose weights are `scale * bits + minimum`, the bits without a sign.
pub(crate) trait Nibbles: PlainBlock {
    /// Whether there is a fifth bit.
    const FIVE_BITS: bool;

    fn scale(&self) -> f32;

    fn minimum(&self) -> f32;

    /// Four bits each: elements 0 to 15 in the low halves of the bytes, 16 to 31 in the high halves.
    fn low(&self) -> &[u8; BLOCK / 2];

    /// Bit `i` is element `i`'s fifth bit.
    fn high(&self) -> u32;
}

/// A stored half float. One that is not finite, which no scale is, becomes some large number.
#[inline]
fn number(stored: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(stored));
    // The exponent's bias differs by 112; multiplying sets it right, for the smallest numbers too.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

impl Nibbles for Q4_1 {
    const FIVE_BITS: bool = false;

    #[inline]
    fn scale(&self) -> f32 {
        number(self.scale)
    }

    #[inline]
    fn minimum(&self) -> f32 {
        number(self.minimum)
    }

    #[inline]
    fn low(&self) -> &[u8; BLOCK / 2] {
        &self.low
    }

    #[inline]
    fn high(&self) -> u32 {
        0
    }
}

impl Nibbles for Q5_0 {
    const FIVE_BITS: bool = true;

    #[inline]
    fn scale(&self) -> f32 {
        number(self.scale)
    }

    #[inline]
    fn minimum(&self) -> f32 {
        -16.0 * self.scale()
    }

    #[inline]
    fn low(&self) -> &[u8; BLOCK / 2] {
        &self.low
    }

    #[inline]
    fn high(&self) -> u32 {
        u32::from_le_bytes(self.high)
    }
}

impl Nibbles for Q5_1 {
    const FIVE_BITS: bool = true;

    #[inline]
    fn scale(&self) -> f32 {
        number(self.scale)
    }

    #[inline]
    fn minimum(&self) -> f32 {
        number(self.minimum)
    }

    #[inline]
    fn low(&self) -> &[u8; BLOCK / 2] {
        &self.low
    }

    #[inline]
    fn high(&self) -> u32 {
        u32::from_le_bytes(self.high)
    }
}

/// A block's bits, one element after the other.
pub(crate) fn steps<F: Nibbles>(block: &F) -> [i8; BLOCK] {
    let mut steps = [0; BLOCK];
    for (index, byte) in block.low().iter().enumerate() {
        steps[index] = (byte & 15) as i8;
        steps[index + BLOCK / 2] = (byte >> 4) as i8;
    }
    for (index, step) in steps.iter_mut().enumerate() {
        *step |= ((block.high() >> index & 1) << 4) as i8;
    }
    steps
}

fn prepare(values: &[f32], inputs: &mut [Input]) {
    // Adding this leaves the rounded integer in the lowest bits, where `round` would be a call.
    const ROUNDING: f32 = 12_582_912.0;
    for (values, input) in values.chunks_exact(BLOCK).zip(inputs) {
        let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let scale = largest / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut total = 0;
        for (value, step) in values.iter().zip(&mut input.steps) {
            let rounded = (value * inverse + ROUNDING).to_bits() as i32 - ROUNDING.to_bits() as i32;
            *step = rounded as i8;
            total += rounded;
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
                dot_nibbles(weights, [inputs])[0]
            }

            fn dot_rows(weights: &[Self], inputs: &[Input], products: &mut [f32]) {
                let row = |index: usize| &inputs[index * weights.len()..][..weights.len()];
                let mut done = 0;
                while done + 4 <= products.len() {
                    let four = dot_nibbles(weights, [row(done), row(done + 1), row(done + 2), row(done + 3)]);
                    products[done..done + 4].copy_from_slice(&four);
                    done += 4;
                }
                for (index, product) in products.iter_mut().enumerate().skip(done) {
                    *product = Self::dot(weights, row(index));
                }
            }

            fn expand(weights: &[Self], values: &mut [f32]) {
                for (block, values) in weights.iter().zip(values.chunks_exact_mut(BLOCK)) {
                    let (scale, minimum) = (block.scale(), block.minimum());
                    for (value, step) in values.iter_mut().zip(steps(block)) {
                        *value = scale * f32::from(step) + minimum;
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
