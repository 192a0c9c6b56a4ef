//! WebAssembly with 128-bit vectors.

use std::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_mul, f32x4_splat, i16x8_extend_low_i8x16, i32x4_extend_low_i16x8,
    u32x4_extend_low_u16x8, u32x4_shl, u32x4_splat, v128, v128_and, v128_load, v128_load32_zero, v128_load64_zero,
    v128_or, v128_store,
};

use super::Vector;

impl Vector for v128 {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        f32x4_splat(value)
    }

    #[inline(always)]
    #[expect(clippy::cast_ptr_alignment, reason = "the load asks for no alignment")]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises four numbers.
        unsafe { v128_load(from.cast::<v128>()) }
    }

    #[inline(always)]
    #[expect(clippy::cast_ptr_alignment, reason = "the store asks for no alignment")]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises four numbers.
        unsafe { v128_store(to.cast::<v128>(), self) }
    }

    #[inline(always)]
    #[expect(clippy::cast_ptr_alignment, reason = "the load asks for no alignment")]
    unsafe fn halves(from: *const u16) -> Self {
        // SAFETY: the caller promises four halves.
        let bits = u32x4_extend_low_u16x8(unsafe { v128_load64_zero(from.cast::<u64>()) });
        let magnitude = u32x4_shl(v128_and(bits, u32x4_splat(0x7fff)), 13);
        let sign = u32x4_shl(v128_and(bits, u32x4_splat(0x8000)), 16);
        // The exponent's bias differs by 112; multiplying sets it right, for the smallest numbers too.
        v128_or(f32x4_mul(magnitude, u32x4_splat((112 + 127) << 23)), sign)
    }

    #[inline(always)]
    #[expect(clippy::cast_ptr_alignment, reason = "the load asks for no alignment")]
    unsafe fn bytes(from: *const i8) -> Self {
        // SAFETY: the caller promises four bytes.
        let bytes = unsafe { v128_load32_zero(from.cast::<u32>()) };
        f32x4_convert_i32x4(i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes)))
    }

    #[inline(always)]
    unsafe fn plus_product(self, one: Self, other: Self) -> Self {
        f32x4_add(self, f32x4_mul(one, other))
    }
}
