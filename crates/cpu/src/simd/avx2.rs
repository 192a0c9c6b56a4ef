//! x86-64 with AVX2 and FMA.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_loadu_si128, _mm_movehdup_ps, _mm_movehl_ps,
    _mm_srli_epi16, _mm256_and_si256, _mm256_castps256_ps128, _mm256_cmpeq_epi8, _mm256_cvtepi32_ps,
    _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_or_si256, _mm256_set_m128i, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_epi64x,
    _mm256_set1_ps, _mm256_setr_epi8, _mm256_setzero_ps, _mm256_shuffle_epi8,
};

use crate::formats::{Input, Nibbles};

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_f32(left: &[f32], right: &[f32]) -> f32 {
    super::dot_f32_plain(left, right)
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn add_scaled(output: &mut [f32], share: f32, values: &[f32]) {
    super::add_scaled_plain(output, share, values);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_nibbles<F: Nibbles, const N: usize>(weights: &[F], inputs: [&[Input]; N]) -> [f32; N] {
    let mut sums = [_mm256_setzero_ps(); N];
    let mut minimums = [0.0; N];
    let inputs = inputs.map(|inputs| &inputs[..weights.len()]);
    for (index, block) in weights.iter().enumerate() {
        let low = load_16(block.low());
        let halves = _mm256_set_m128i(_mm_srli_epi16::<4>(low), low);
        let mut steps = _mm256_and_si256(halves, _mm256_set1_epi8(15));
        if F::FIVE_BITS {
            steps = _mm256_or_si256(steps, fifth_bits(block.high()));
        }
        let (scale, minimum) = (block.scale(), block.minimum());
        for row in 0..N {
            let input = &inputs[row][index];
            // At most 2 * 31 * 127, far from the saturation of 16 bits.
            let pairs = _mm256_maddubs_epi16(steps, load_32(&input.steps));
            let quads = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
            sums[row] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(quads), _mm256_set1_ps(scale * input.scale), sums[row]);
            minimums[row] += minimum * input.sum;
        }
    }
    let mut products = minimums;
    for (product, sums) in products.iter_mut().zip(sums) {
        *product += total(sums);
    }
    products
}

#[target_feature(enable = "avx2")]
#[expect(clippy::cast_ptr_alignment, reason = "the load asks for no alignment")]
fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: reads exactly the 16 bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast::<__m128i>()) }
}

#[target_feature(enable = "avx2")]
#[expect(clippy::cast_ptr_alignment, reason = "the load asks for no alignment")]
fn load_32(bytes: &[i8; 32]) -> __m256i {
    // SAFETY: reads exactly the 32 bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>()) }
}

/// 16 in each byte whose bit is set.
#[target_feature(enable = "avx2")]
fn fifth_bits(bits: u32) -> __m256i {
    let spread = _mm256_setr_epi8(
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3,
    );
    let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), spread);
    let own = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bytes, own), own), _mm256_set1_epi8(16))
}

#[target_feature(enable = "avx2")]
fn total(sums: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
