//! Sums and products of vectors of numbers.

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// `Σ left * right`.
pub(crate) fn dot_f32(left: &[f32], right: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the instructions are there.
        return unsafe { compiled::dot_f32(left, right) };
    }
    dot_f32_plain(left, right)
}

/// `output += share * values`.
pub(crate) fn add_scaled(output: &mut [f32], share: f32, values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the instructions are there.
        return unsafe { compiled::add_scaled(output, share, values) };
    }
    add_scaled_plain(output, share, values);
}

/// In eight running sums, so that the compiler may use vectors.
#[inline(always)]
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

#[inline(always)]
fn add_scaled_plain(output: &mut [f32], share: f32, values: &[f32]) {
    for (output, value) in output.iter_mut().zip(values) {
        *output += share * value;
    }
}

#[cfg(target_arch = "x86_64")]
mod compiled {
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dot_f32(left: &[f32], right: &[f32]) -> f32 {
        super::dot_f32_plain(left, right)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn add_scaled(output: &mut [f32], share: f32, values: &[f32]) {
        super::add_scaled_plain(output, share, values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::tests::{close, numbers};

    #[test]
    fn loops_equal_the_plain_ones_at_every_length() {
        for length in (0..70).chain([511, 1000]) {
            let (left, right) = (numbers(length, 1), numbers(length, 2));
            assert!(close(dot_f32(&left, &right), dot_f32_plain(&left, &right), length as f32), "{length}");
            let (mut fast, mut plain) = (left.clone(), left);
            add_scaled(&mut fast, 0.3, &right);
            add_scaled_plain(&mut plain, 0.3, &right);
            assert!(fast.iter().zip(&plain).all(|(fast, plain)| close(*fast, *plain, 1.0)), "{length}");
        }
    }
}
