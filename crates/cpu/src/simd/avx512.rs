//! x86-64 with 512-bit vectors and their dot product of bytes.

use std::arch::x86_64::*;

use super::lanes::{Lanes, instructions};
use super::layout::LINE;

/// Sixteen rows.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

impl Lanes for Avx512 {
    const COUNT: usize = 16;
    const HALF_UNIT: f32 = 1.0;
    const ROLLED: bool = false;
    const STRIP: usize = 1;
    const AHEAD: usize = 4096;
    type Int = __m512i;
    type Float = __m512;
    type Sums = __m512i;

    instructions! {
        fn prefetch(from: *const u8, bytes: usize) => {
            for line in (0..bytes).step_by(LINE) {
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line).cast());
            }
        };
        fn load(from: *const u8) -> __m512i => _mm512_loadu_si512(from.cast());
        fn store(bytes: __m512i, to: *mut u8) => _mm512_storeu_si512(to.cast(), bytes);
        fn inputs(from: *const i8) -> __m512i => _mm512_set1_epi32(from.cast::<i32>().read_unaligned());
        fn table(from: *const u8) -> __m512i => _mm512_broadcast_i32x4(_mm_loadu_si128(from.cast()));
        fn look_up(table: __m512i, indices: __m512i) -> __m512i => _mm512_shuffle_epi8(table, indices);
        fn right<const BITS: i32>(value: __m512i) -> __m512i => _mm512_srl_epi32(value, _mm_cvtsi32_si128(BITS));
        fn left<const BITS: i32>(value: __m512i) -> __m512i => _mm512_sll_epi32(value, _mm_cvtsi32_si128(BITS));
        fn mask(value: u32) -> __m512i => _mm512_set1_epi32(value as i32);
        fn and(one: __m512i, other: __m512i) -> __m512i => _mm512_and_si512(one, other);
        fn or(one: __m512i, other: __m512i) -> __m512i => _mm512_or_si512(one, other);
        fn start(value: i32) -> __m512i => _mm512_set1_epi32(value);
        fn dot(_byte: bool, sums: __m512i, levels: __m512i, inputs: __m512i) -> __m512i => {
            _mm512_dpbusd_epi32(sums, levels, inputs)
        };
        fn top_bytes(from: *const u8) -> __m512i => _mm512_srai_epi32::<24>(_mm512_loadu_si512(from.cast()));
        fn product(one: __m512i, other: __m512i) -> __m512i => _mm512_mullo_epi32(one, other);
        fn sum(one: __m512i, other: __m512i) -> __m512i => _mm512_add_epi32(one, other);
        fn number(value: __m512i) -> __m512 => _mm512_cvtepi32_ps(value);
        fn splat(value: f32) -> __m512 => _mm512_set1_ps(value);
        fn multiply(one: __m512, other: __m512) -> __m512 => _mm512_mul_ps(one, other);
        fn add(one: __m512, other: __m512) -> __m512 => _mm512_add_ps(one, other);
        fn floats(from: *const f32) -> __m512 => _mm512_loadu_ps(from);
        fn store_floats(values: __m512, to: *mut f32) => _mm512_storeu_ps(to, values);
        fn halves(from: *const u8, _mask: __m512i) -> __m512 => _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()));
        fn upper_halves(from: *const u8) -> __m512 => {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()))))
        };
    }

    #[inline(always)]
    unsafe fn whole(sums: __m512i) -> __m512i {
        sums
    }
}
