//! x86-64 with vectors of 512 bits.

use std::arch::x86_64::{
    __m128i, __m256i, __m512, _mm_loadu_si128, _mm256_loadu_si256, _mm512_add_ps, _mm512_cvtepi8_epi32,
    _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

use super::{Element, Rows, Sizes, Vector};

/// # Safety
/// As for [`super::product`].
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn product<T: Element>(
    sizes: Sizes,
    left: Rows<*const f32>,
    right: Rows<*const T>,
    output: Rows<*mut f32>,
) {
    // SAFETY: passed on, and the instructions are there.
    unsafe { super::product::<__m512, T>(sizes, left, right, output) }
}

impl Vector for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller promises the instructions.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises the instructions and sixteen numbers.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises the instructions and sixteen numbers.
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    #[expect(clippy::cast_ptr_alignment, reason = "the load asks for no alignment")]
    unsafe fn halves(from: *const u16) -> Self {
        // SAFETY: the caller promises the instructions and sixteen halves.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast::<__m256i>())) }
    }

    #[inline(always)]
    #[expect(clippy::cast_ptr_alignment, reason = "the load asks for no alignment")]
    unsafe fn bytes(from: *const i8) -> Self {
        // SAFETY: the caller promises the instructions and sixteen bytes.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast::<__m128i>()))) }
    }

    #[inline(always)]
    unsafe fn plus_product(self, one: Self, other: Self) -> Self {
        // SAFETY: the caller promises the instructions.
        unsafe { _mm512_add_ps(self, _mm512_mul_ps(one, other)) }
    }
}
