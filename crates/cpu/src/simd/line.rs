//! Memory in cache lines, so that no vector straddles two.

use super::layout::LINE;

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; LINE]);

impl Line {
    /// Nothing but zeros.
    pub(crate) const ZERO: Self = Self([0; LINE]);
}

/// The lines' bytes.
pub(crate) fn lines_as_bytes(lines: &[Line]) -> &[u8] {
    // SAFETY: a line is 64 bytes without padding, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast::<u8>(), size_of_val(lines)) }
}

/// The lines' bytes, to be written.
pub(crate) fn lines_as_bytes_mut(lines: &mut [Line]) -> &mut [u8] {
    // SAFETY: as above, and every byte may take every value.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<u8>(), size_of_val(lines)) }
}

// The layouts are little-endian, and so is everything this runs on.
const _: () = assert!(cfg!(target_endian = "little"));
