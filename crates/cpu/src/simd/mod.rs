//! The inner loops, and the only unsafe code of this crate.
//!
//! Each loop exists once in plain Rust and, where it pays, once more in an instruction set. Which one
//! runs is found out when the program runs on x86-64, and is settled when it is compiled elsewhere.

#![expect(unsafe_code, reason = "instruction sets, and file bytes read straight into blocks")]

#[cfg(target_arch = "x86_64")]
mod avx2;
mod plain_block;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

pub(crate) use plain_block::{PlainBlock, bytes_mut};

#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
use crate::formats::steps;
use crate::formats::{Input, Nibbles};

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The instruction sets that the products use here.
pub(crate) fn features() -> Vec<String> {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        return vec!["avx2".to_owned(), "fma".to_owned()];
    }
    if cfg!(target_feature = "simd128") { vec!["simd128".to_owned()] } else { Vec::new() }
}

/// `Σ left * right`.
pub(crate) fn dot_f32(left: &[f32], right: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the instructions are there.
        return unsafe { avx2::dot_f32(left, right) };
    }
    dot_f32_plain(left, right)
}

/// In eight running sums, so that the compiler may use vectors.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is compiled anew for each instruction set that calls it")]
fn dot_f32_plain(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (left_blocks, left_rest) = left.as_chunks::<8>();
    let (right_blocks, right_rest) = right.as_chunks::<8>();
    for (left, right) in left_blocks.iter().zip(right_blocks) {
        for lane in 0..8 {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f32>() + rest
}

/// `output += share * values`.
pub(crate) fn add_scaled(output: &mut [f32], share: f32, values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the instructions are there.
        return unsafe { avx2::add_scaled(output, share, values) };
    }
    add_scaled_plain(output, share, values);
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it is compiled anew for each instruction set that calls it")]
fn add_scaled_plain(output: &mut [f32], share: f32, values: &[f32]) {
    for (output, value) in output.iter_mut().zip(values) {
        *output += share * value;
    }
}

/// The scalar products of a row of weights and each of some rows of inputs, which share the work of
/// taking the weights apart.
pub(crate) fn dot_nibbles<F: Nibbles, const N: usize>(weights: &[F], inputs: [&[Input]; N]) -> [f32; N] {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the instructions are there.
        return unsafe { avx2::dot_nibbles(weights, inputs) };
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return simd128::dot_nibbles(weights, inputs);
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    inputs.map(|inputs| dot_nibbles_plain(weights, inputs))
}

#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
fn dot_nibbles_plain<F: Nibbles>(weights: &[F], inputs: &[Input]) -> f32 {
    let mut sum = 0.0;
    for (block, input) in weights.iter().zip(inputs) {
        let product: i32 =
            steps(block).iter().zip(&input.steps).map(|(left, right)| i32::from(*left) * i32::from(*right)).sum();
        sum += block.scale() * input.scale * product as f32 + block.minimum() * input.sum;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Format, Q4_1, Q5_0, Q5_1};

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
            })
            .collect()
    }

    fn blocks<F: Format>(count: usize, seed: u32) -> Vec<F> {
        let mut blocks = vec![F::zero(); count];
        let mut state = seed;
        for byte in bytes_mut(&mut blocks) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // The top bit but one of a half float's exponent stays clear, so that scales are finite.
            *byte = (state >> 24) as u8 & 0xbf;
        }
        blocks
    }

    fn close(left: f32, right: f32, size: f32) -> bool {
        (left - right).abs() <= 1e-5 * size.max(1.0)
    }

    #[test]
    fn f32_loops_equal_the_plain_ones_at_every_length() {
        for length in (0..70).chain([511, 1000]) {
            let (left, right) = (numbers(length, 1), numbers(length, 2));
            assert!(close(dot_f32(&left, &right), dot_f32_plain(&left, &right), length as f32), "{length}");
            let (mut fast, mut plain) = (left.clone(), left);
            add_scaled(&mut fast, 0.3, &right);
            add_scaled_plain(&mut plain, 0.3, &right);
            assert!(fast.iter().zip(&plain).all(|(fast, plain)| close(*fast, *plain, 1.0)), "{length}");
        }
    }

    fn nibbles_agree<F: Format<Input = Input> + Nibbles>() {
        for count in [0, 1, 2, 3, 7, 18, 33] {
            let weights = blocks::<F>(count, count as u32 + 5);
            let values = numbers(count * 32, 9);
            let mut inputs = vec![F::zero_input(); count];
            F::prepare(&values, &mut inputs);
            let mut expanded = vec![0.0; count * 32];
            F::expand(&weights, &mut expanded);
            let size: f32 = expanded.iter().map(|value| value.abs()).sum();
            let plain = dot_nibbles_plain(&weights, &inputs);
            assert!(close(dot_nibbles(&weights, [&inputs])[0], plain, size), "{count} blocks");
            let mut other = inputs.clone();
            other.reverse();
            let both = dot_nibbles(&weights, [&inputs, &other]);
            assert!(close(both[0], plain, size), "{count} blocks");
            assert!(close(both[1], dot_nibbles_plain(&weights, &other), size), "{count} blocks");
            // Rounding an input to 8 bits errs by at most half a step of its block.
            let exact: f32 = expanded.iter().zip(&values).map(|(weight, value)| weight * value).sum();
            assert!((plain - exact).abs() <= size * 0.5 / 127.0 + 1e-3, "{count} blocks: {plain} for {exact}");
        }
    }

    #[test]
    fn nibble_loops_equal_the_plain_one_and_the_expanded_weights() {
        nibbles_agree::<Q4_1>();
        nibbles_agree::<Q5_0>();
        nibbles_agree::<Q5_1>();
    }
}
