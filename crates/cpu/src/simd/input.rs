//! Inputs as 8-bit integers.

use super::layout::{BLOCK, Layout};

/// 32 inputs as 8-bit integers with one scale.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub(crate) struct Input {
    /// What one step of the integers is worth.
    pub(crate) scale: f32,
    /// The sums of the integers of each half: what offsets and minimums are multiplied with.
    pub(crate) sums: [i16; 2],
    /// The integers, within ±127.
    pub(crate) steps: [i8; BLOCK],
}

impl Input {
    /// Nothing but zeros.
    pub(crate) const ZERO: Self = Self { scale: 0.0, sums: [0; 2], steps: [0; BLOCK] };

    /// The sum of the integers that the scale of a half goes with.
    #[inline(always)]
    pub(super) fn sum<L: Layout>(&self, half: usize) -> i32 {
        if L::SCALES == 2 { i32::from(self.sums[half]) } else { i32::from(self.sums[0]) + i32::from(self.sums[1]) }
    }
}

/// Turns whole blocks of numbers into inputs.
#[inline(always)]
pub(super) fn quantize(values: &[f32], inputs: &mut [Input]) {
    // Adding this leaves the rounded integer in the lowest bits, where `round` would be a call.
    const ROUNDING: f32 = 12_582_912.0;
    for (values, input) in values.as_chunks::<BLOCK>().0.iter().zip(inputs) {
        let mut largest = [0.0f32; 8];
        for values in values.as_chunks::<8>().0 {
            for (largest, value) in largest.iter_mut().zip(values) {
                let size = value.abs();
                *largest = if size > *largest { size } else { *largest };
            }
        }
        let largest = largest.into_iter().fold(0.0f32, |most, value| if value > most { value } else { most });
        let scale = largest / 127.0;
        // The inverse of the smallest scales is infinite.
        let inverse = if scale > 1e-37 { 1.0 / scale } else { 0.0 };
        let rounded = values.map(|value| (value * inverse + ROUNDING).to_bits() as i32 - ROUNDING.to_bits() as i32);
        input.scale = scale;
        input.steps = rounded.map(|rounded| rounded as i8);
        for (sum, rounded) in input.sums.iter_mut().zip(rounded.as_chunks::<{ BLOCK / 2 }>().0) {
            *sum = rounded.iter().sum::<i32>() as i16;
        }
    }
}
