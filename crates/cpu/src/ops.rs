//! The operations between the matrices, on one row or a few.

use nearside_engine::graph::{Activation, RopePairing};

use crate::simd::{add_scaled, dot_f32};

/// Root-mean-square norm of each `weight.len()` elements of `input`.
pub(crate) fn rms_norm(input: &[f32], weight: &[f32], epsilon: f32, output: &mut [f32]) {
    let group = weight.len();
    for (input, output) in input.chunks_exact(group).zip(output.chunks_exact_mut(group)) {
        let mean = dot_f32(input, input) / group as f32;
        let factor = 1.0 / (mean + epsilon).sqrt();
        for ((output, input), weight) in output.iter_mut().zip(input).zip(weight) {
            *output = input * factor * weight;
        }
    }
}

/// Multiplies every value.
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}

/// Sine and cosine of each pair's angle at one position.
pub(crate) fn rope_angles(position: usize, frequencies: &[f32], magnitude: f32, angles: &mut Vec<(f32, f32)>) {
    angles.clear();
    angles.extend(frequencies.iter().map(|frequency| {
        let (sine, cosine) = (position as f32 * frequency).sin_cos();
        (sine * magnitude, cosine * magnitude)
    }));
}

/// Rotates one head in place.
pub(crate) fn rope(head: &mut [f32], pairing: RopePairing, angles: &[(f32, f32)]) {
    for (pair, (sine, cosine)) in angles.iter().enumerate() {
        let (first, second) = match pairing {
            RopePairing::Adjacent => (2 * pair, 2 * pair + 1),
            RopePairing::Halves => (pair, pair + angles.len()),
        };
        let (left, right) = (head[first], head[second]);
        head[first] = left * cosine - right * sine;
        head[second] = left * sine + right * cosine;
    }
}

/// One head's view of the past: rows of `stride`, of which `head_dim` elements from `start` are its own.
#[derive(Clone, Copy)]
pub(crate) struct Past<'a> {
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) start: usize,
}

/// Attention of one query over the positions `seen`. `scores` is scratch.
pub(crate) fn attention(
    query: &[f32],
    past: Past<'_>,
    seen: std::ops::Range<usize>,
    scale: f32,
    scores: &mut Vec<f32>,
    output: &mut [f32],
) {
    let Past { keys, values, stride, start } = past;
    let row = |position: usize| position * stride + start..position * stride + start + query.len();
    scores.clear();
    scores.extend(seen.clone().map(|position| dot_f32(query, &keys[row(position)]) * scale));
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        total += *score;
    }
    output.fill(0.0);
    for (score, position) in scores.iter().zip(seen) {
        add_scaled(output, score / total, &values[row(position)]);
    }
}

/// `gate = activation(gate) * up`.
pub(crate) fn gate(activation: Activation, gate: f32, up: f32) -> f32 {
    match activation {
        Activation::Silu => gate / (1.0 + (-gate).exp()) * up,
        Activation::GeluTanh => {
            const ROOT: f32 = 0.797_884_6; // sqrt(2 / π)
            let inner = ROOT * (gate + 0.044_715 * gate * gate * gate);
            0.5 * gate * (1.0 + inner.tanh()) * up
        }
    }
}
