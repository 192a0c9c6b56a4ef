//! Sums and products of vectors of numbers.

#[cfg(target_arch = "x86_64")]
use super::elementwise::has_avx2;

/// `Σ left * right`.
pub(crate) fn dot_f32(left: &[f32], right: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the instructions are there.
        return unsafe { compiled::dot_f32(left, right) };
    }
    dot_f32_plain(left, right)
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

#[cfg(target_arch = "x86_64")]
mod compiled {
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dot_f32(left: &[f32], right: &[f32]) -> f32 {
        super::dot_f32_plain(left, right)
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
        }
    }
}
