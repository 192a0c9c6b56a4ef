//! x86-64 with 256-bit vectors.

use std::arch::x86_64::*;

use super::lanes::{Lanes, instructions};
use super::layout::LINE;

/// Eight rows.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

impl Lanes for Avx2 {
    const COUNT: usize = 8;
    const HALF_UNIT: f32 = 1.0;
    const ROLLED: bool = false;
    const STRIP: usize = 1;
    const AHEAD: usize = 4096;
    type Int = __m256i;
    type Float = __m256;
    type Sums = __m256i;

    instructions! {
        fn prefetch(from: *const u8, bytes: usize) => {
            for line in (0..bytes).step_by(LINE) {
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line).cast());
            }
        };
        fn load(from: *const u8) -> __m256i => _mm256_loadu_si256(from.cast());
        fn store(bytes: __m256i, to: *mut u8) => _mm256_storeu_si256(to.cast(), bytes);
        fn inputs(from: *const i8) -> __m256i => _mm256_set1_epi32(from.cast::<i32>().read_unaligned());
        fn table(from: *const u8) -> __m256i => _mm256_broadcastsi128_si256(_mm_loadu_si128(from.cast()));
        fn look_up(table: __m256i, indices: __m256i) -> __m256i => _mm256_shuffle_epi8(table, indices);
        fn right<const BITS: i32>(value: __m256i) -> __m256i => _mm256_srli_epi32::<BITS>(value);
        fn left<const BITS: i32>(value: __m256i) -> __m256i => _mm256_slli_epi32::<BITS>(value);
        fn mask(value: u32) -> __m256i => _mm256_set1_epi32(value as i32);
        fn and(one: __m256i, other: __m256i) -> __m256i => _mm256_and_si256(one, other);
        fn or(one: __m256i, other: __m256i) -> __m256i => _mm256_or_si256(one, other);
        fn start(value: i32) -> __m256i => _mm256_set1_epi32(value);
        // A signed level gives its sign to the input. Two products are at most 2 * 128 * 127, which 16 bits hold.
        fn dot(byte: bool, sums: __m256i, levels: __m256i, inputs: __m256i) -> __m256i => {
            let pairs = if byte {
                _mm256_maddubs_epi16(_mm256_abs_epi8(levels), _mm256_sign_epi8(inputs, levels))
            } else {
                _mm256_maddubs_epi16(levels, inputs)
            };
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        };
        fn top_bytes(from: *const u8) -> __m256i => _mm256_srai_epi32::<24>(_mm256_loadu_si256(from.cast()));
        fn product(one: __m256i, other: __m256i) -> __m256i => _mm256_mullo_epi32(one, other);
        fn sum(one: __m256i, other: __m256i) -> __m256i => _mm256_add_epi32(one, other);
        fn number(value: __m256i) -> __m256 => _mm256_cvtepi32_ps(value);
        fn splat(value: f32) -> __m256 => _mm256_set1_ps(value);
        fn multiply(one: __m256, other: __m256) -> __m256 => _mm256_mul_ps(one, other);
        fn add(one: __m256, other: __m256) -> __m256 => _mm256_add_ps(one, other);
        fn floats(from: *const f32) -> __m256 => _mm256_loadu_ps(from);
        fn store_floats(values: __m256, to: *mut f32) => _mm256_storeu_ps(to, values);
        fn halves(from: *const u8, _mask: __m256i) -> __m256 => _mm256_cvtph_ps(_mm_loadu_si128(from.cast()));
        fn upper_halves(from: *const u8) -> __m256 => {
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()))))
        };
    }

    #[inline(always)]
    unsafe fn whole(sums: __m256i) -> __m256i {
        sums
    }
}
