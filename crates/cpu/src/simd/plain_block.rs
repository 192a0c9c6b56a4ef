//! Blocks that are nothing but their bytes.

use candle_core::quantized::k_quants::{BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4K, BlockQ5K, BlockQ6K, BlockQ8_0};
use half::{bf16, f16};

use crate::formats::{Q4_1, Q5_0, Q5_1};

/// A type without padding for which every pattern of bits is a value.
///
/// # Safety
/// The type must be exactly that, and `repr(C)` or a primitive.
pub(crate) unsafe trait PlainBlock: Sized + Send + Sync + Clone + 'static {}

macro_rules! plain_blocks {
    ($($block:ty = $bytes:literal),* $(,)?) => {
        $(
            const _: () = assert!(size_of::<$block>() == $bytes);
            // SAFETY: a primitive, or a `repr(C)` struct of integers, arrays of integers and half floats,
            // none of which has invalid bits; the size above is the sum of its fields, so nothing is padding.
            unsafe impl PlainBlock for $block {}
        )*
    };
}

plain_blocks! {
    f32 = 4, f16 = 2, bf16 = 2, Q4_1 = 20, Q5_0 = 22, Q5_1 = 24, BlockQ4_0 = 18, BlockQ8_0 = 34,
    BlockQ2K = 84, BlockQ3K = 110, BlockQ4K = 144, BlockQ5K = 176, BlockQ6K = 210,
}

/// The blocks' own memory, to read the file's little-endian bytes into.
pub(crate) fn bytes_mut<T: PlainBlock>(blocks: &mut [T]) -> &mut [u8] {
    let length = size_of_val(blocks);
    // SAFETY: the pointer and length are those of a live exclusive slice, bytes need no alignment, and
    // `PlainBlock` promises that every byte is initialised and may take every value.
    unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast::<u8>(), length) }
}

// The formats are little-endian, and so is everything this runs on.
const _: () = assert!(cfg!(target_endian = "little"));
