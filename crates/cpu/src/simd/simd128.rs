//! WebAssembly with 128-bit vectors, with and without the relaxed dot product of bytes.

use std::arch::wasm32::*;

use super::lanes::{Lanes, instructions};
use super::layout::LINE;

/// Four rows.
#[derive(Clone, Copy)]
pub(super) struct Simd128;

/// Two sums for each row, two rows in each vector.
#[derive(Clone, Copy)]
pub(super) struct PairSums(v128, v128);

/// What both have in common.
macro_rules! vectors_of_four {
    () => {
        const COUNT: usize = 4;
        // The exponents of half and single precision differ by 112.
        const HALF_UNIT: f32 = f32::from_bits((112 + 127) << 23);
        const ROLLED: bool = true;
        const STRIP: usize = 32;
        const AHEAD: usize = 0;
        type Int = v128;
        type Float = v128;

        instructions! {
            fn load(from: *const u8) -> v128 => v128_load(from.cast());
            fn store(bytes: v128, to: *mut u8) => v128_store(to.cast(), bytes);
            fn inputs(from: *const i8) -> v128 => v128_load32_splat(from.cast());
            fn table(from: *const u8) -> v128 => v128_load(from.cast());
            fn floats(from: *const f32) -> v128 => v128_load(from.cast());
            fn store_floats(values: v128, to: *mut f32) => v128_store(to.cast(), values);
            fn halves(from: *const u8, mask: v128) -> v128 => {
                // Sign and exponent end up in their places, the sign also in three places of the exponent.
                v128_and(i32x4_shl(i32x4_load_extend_i16x4(from.cast()), 13), mask)
            };
            fn upper_halves(from: *const u8) -> v128 => u32x4_shl(u32x4_load_extend_u16x4(from.cast()), 16);
            fn top_bytes(from: *const u8) -> v128 => i32x4_shr(v128_load(from.cast()), 24);
        }

        #[inline(always)]
        unsafe fn prefetch(from: *const u8, bytes: usize) {
            // There is no instruction for it, but many reads at once wait no longer than one.
            for line in (0..bytes).step_by(LINE) {
                // SAFETY: the caller promises that the memory is there.
                unsafe { from.add(line).read_volatile() };
            }
        }

        #[inline(always)]
        unsafe fn product(one: v128, other: v128) -> v128 {
            i32x4_mul(one, other)
        }

        #[inline(always)]
        unsafe fn sum(one: v128, other: v128) -> v128 {
            i32x4_add(one, other)
        }

        #[inline(always)]
        unsafe fn number(value: v128) -> v128 {
            f32x4_convert_i32x4(value)
        }

        #[inline(always)]
        unsafe fn right<const BITS: i32>(value: v128) -> v128 {
            u32x4_shr(value, BITS as u32)
        }

        #[inline(always)]
        unsafe fn left<const BITS: i32>(value: v128) -> v128 {
            u32x4_shl(value, BITS as u32)
        }

        #[inline(always)]
        unsafe fn mask(value: u32) -> v128 {
            // Hidden from the compiler, which would make a constant anew in every turn of a loop.
            u32x4_splat(std::hint::black_box(value))
        }

        #[inline(always)]
        unsafe fn and(one: v128, other: v128) -> v128 {
            v128_and(one, other)
        }

        #[inline(always)]
        unsafe fn or(one: v128, other: v128) -> v128 {
            v128_or(one, other)
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> v128 {
            f32x4_splat(value)
        }

        #[inline(always)]
        unsafe fn multiply(one: v128, other: v128) -> v128 {
            f32x4_mul(one, other)
        }

        #[inline(always)]
        unsafe fn add(one: v128, other: v128) -> v128 {
            f32x4_add(one, other)
        }
    };
}

impl Lanes for Simd128 {
    vectors_of_four!();
    type Sums = PairSums;

    #[inline(always)]
    unsafe fn look_up(table: v128, indices: v128) -> v128 {
        u8x16_swizzle(table, indices)
    }

    #[inline(always)]
    unsafe fn start(value: i32) -> PairSums {
        let start = i32x4_replace_lane::<2>(i32x4_replace_lane::<0>(i32x4_splat(0), value), value);
        PairSums(start, start)
    }

    #[inline(always)]
    unsafe fn dot(_byte: bool, sums: PairSums, levels: v128, inputs: v128) -> PairSums {
        let inputs = i16x8_extend_low_i8x16(inputs);
        PairSums(
            i32x4_add(sums.0, i32x4_dot_i16x8(i16x8_extend_low_i8x16(levels), inputs)),
            i32x4_add(sums.1, i32x4_dot_i16x8(i16x8_extend_high_i8x16(levels), inputs)),
        )
    }

    #[inline(always)]
    unsafe fn whole(sums: PairSums) -> v128 {
        let even = i32x4_shuffle::<0, 2, 4, 6>(sums.0, sums.1);
        i32x4_add(even, i32x4_shuffle::<1, 3, 5, 7>(sums.0, sums.1))
    }
}

/// Four rows and the relaxed dot product. Of its operands only the second's bytes above 127 are left to the
/// engine: `Isa::find` has looked how it takes them.
#[cfg(target_feature = "relaxed-simd")]
#[derive(Clone, Copy)]
pub(super) struct Relaxed;

#[cfg(target_feature = "relaxed-simd")]
impl Lanes for Relaxed {
    vectors_of_four!();
    type Sums = v128;

    #[inline(always)]
    unsafe fn look_up(table: v128, indices: v128) -> v128 {
        u8x16_relaxed_swizzle(table, indices)
    }

    #[inline(always)]
    unsafe fn start(value: i32) -> v128 {
        i32x4_splat(value)
    }

    #[inline(always)]
    unsafe fn dot(_byte: bool, sums: v128, levels: v128, inputs: v128) -> v128 {
        i32x4_relaxed_dot_i8x16_i7x16_add(inputs, levels, sums)
    }

    #[inline(always)]
    unsafe fn whole(sums: v128) -> v128 {
        sums
    }
}

/// How the relaxed dot product takes bytes above 127 in its second operand.
#[cfg(target_feature = "relaxed-simd")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HighBytes {
    /// As numbers from 128 to 255, with sums of two products that 16 bits need not hold.
    Unsigned,
    /// As negative numbers.
    Signed,
    /// In some other way.
    Narrow,
}

/// Finds out; nothing if the product is wrong where it is not free to differ, as it is in the baseline
/// compiler of the first engine that had it.
#[cfg(target_feature = "relaxed-simd")]
pub(super) fn high_bytes() -> Option<HighBytes> {
    // Hidden from the compiler, which might work it out by its own rules.
    let hide = std::hint::black_box::<i8>;
    let product = |level: u8, input: i8| {
        let levels = i8x16_splat(hide(level as i8));
        let sums = i32x4_relaxed_dot_i8x16_i7x16_add(i8x16_splat(hide(input)), levels, i32x4_splat(-1000));
        [
            i32x4_extract_lane::<0>(sums),
            i32x4_extract_lane::<1>(sums),
            i32x4_extract_lane::<2>(sums),
            i32x4_extract_lane::<3>(sums),
        ]
    };
    let takes = |cases: &[(u8, i8)], value: fn(u8) -> i32| {
        cases.iter().all(|(level, input)| product(*level, *input) == [4 * value(*level) * i32::from(*input) - 1000; 4])
    };
    if !takes(&[(127, 127), (127, -127), (1, -1), (15, 100)], i32::from) {
        return None;
    }
    let high = [(255, 127), (255, -127), (128, 127), (128, -127), (200, 99), (129, -1)];
    Some(if takes(&high, i32::from) {
        HighBytes::Unsigned
    } else if takes(&high, |byte| i32::from(byte as i8)) {
        HighBytes::Signed
    } else {
        HighBytes::Narrow
    })
}
