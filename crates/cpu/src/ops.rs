//! The operations between the matrices, on one row or a few.

use nearside_engine::backend::BackendError;
use nearside_engine::graph::{Activation, RopePairing};

use crate::memory::grow;
use crate::simd::{dot_f32, gelu, normalise, rotate, silu};

/// Root-mean-square norm of each `weight.len()` elements of `input`.
pub(crate) fn rms_norm(input: &[f32], weight: &[f32], epsilon: f32, output: &mut [f32]) {
    let group = weight.len();
    for (input, output) in input.chunks_exact(group).zip(output.chunks_exact_mut(group)) {
        normalise(input, norm_factor(input, epsilon), weight, output);
    }
}

/// The same in place.
pub(crate) fn rms_norm_in_place(values: &mut [f32], weight: &[f32], epsilon: f32) {
    for values in values.chunks_exact_mut(weight.len()) {
        let factor = norm_factor(values, epsilon);
        for (value, weight) in values.iter_mut().zip(weight) {
            *value = *value * factor * weight;
        }
    }
}

fn norm_factor(values: &[f32], epsilon: f32) -> f32 {
    let mean = dot_f32(values, values) / values.len() as f32;
    1.0 / (mean + epsilon).sqrt()
}

/// Multiplies every value.
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    if factor.to_bits() != 1f32.to_bits() {
        for value in values {
            *value *= factor;
        }
    }
}

/// Adds value by value.
pub(crate) fn add(values: &mut [f32], more: &[f32]) {
    values.iter_mut().zip(more).for_each(|(value, more)| *value += more);
}

/// Sine and cosine of each pair's angle at some consecutive positions, those of one position together.
#[derive(Default)]
pub(crate) struct Angles {
    sines: Vec<f32>,
    cosines: Vec<f32>,
}

impl Angles {
    /// Makes room once, so that a step need not.
    pub(crate) fn reserve(&mut self, count: usize) -> Result<(), BackendError> {
        for items in [&mut self.sines, &mut self.cosines] {
            grow(items, count, 0.0, || "the angles of a step's positions".to_owned())?;
        }
        Ok(())
    }

    pub(crate) fn fill(&mut self, position: usize, rows: usize, frequencies: &[f32], magnitude: f32) {
        let pairs = frequencies.len().max(1);
        let places = self.sines.chunks_exact_mut(pairs).zip(self.cosines.chunks_exact_mut(pairs));
        for (row, (sines, cosines)) in places.take(rows).enumerate() {
            for ((sine, cosine), frequency) in sines.iter_mut().zip(cosines).zip(frequencies) {
                // In f64, so that after rounding every platform's library gives the same.
                let (exact_sine, exact_cosine) = f64::from((position + row) as f32 * frequency).sin_cos();
                (*sine, *cosine) = (exact_sine as f32 * magnitude, exact_cosine as f32 * magnitude);
            }
        }
    }

    fn row(&self, row: usize, pairs: usize) -> (&[f32], &[f32]) {
        (&self.sines[row * pairs..][..pairs], &self.cosines[row * pairs..][..pairs])
    }

    /// Rotates the first `2 * pairs` elements of each head in place.
    pub(crate) fn rotate(
        &self,
        row: usize,
        pairs: usize,
        pairing: RopePairing,
        heads: std::slice::ChunksExactMut<'_, f32>,
    ) {
        let (sines, cosines) = self.row(row, pairs);
        for head in heads {
            match pairing {
                RopePairing::Halves => {
                    let (one, other) = head.split_at_mut(pairs);
                    rotate(one, other, sines, cosines);
                }
                RopePairing::Adjacent => {
                    for ((pair, sine), cosine) in head.as_chunks_mut::<2>().0.iter_mut().zip(sines).zip(cosines) {
                        let [left, right] = *pair;
                        *pair = [left * cosine - right * sine, left * sine + right * cosine];
                    }
                }
            }
        }
    }
}

/// `values = activation(values)`.
pub(crate) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Silu => silu(values),
        Activation::GeluTanh => gelu(values),
    }
}

/// `values *= factors`.
pub(crate) fn multiply(values: &mut [f32], factors: &[f32]) {
    values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
}
