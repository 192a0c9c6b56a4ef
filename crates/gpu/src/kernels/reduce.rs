//! How the invocations of a workgroup put together what each of them has.

use crate::adapter::Tuning;
use crate::template::Definition;

/// `summed` and `largest` of all invocations in WGSL, directed by [`whole`].
pub(super) const WHOLE: &str = include_str!("reduce_whole.wgsl");

/// `met` of some invocations in WGSL, directed by [`slices`].
pub(super) const SLICES: &str = include_str!("reduce_slices.wgsl");

/// So many numbers at a time, in so many calls that no barrier need separate.
pub(super) fn whole(numbers: u32, turns: u32, tuning: &Tuning) -> [Definition; 3] {
    [("NUMBERS", numbers), ("TURNS", turns), ("SUBGROUPS", u32::from(tuning.subgroups))]
}

/// So many sums of so many invocations, which are so far apart.
pub(super) fn slices(count: u32, apart: u32, sums: u32) -> [Definition; 4] {
    [("SLICES", count), ("APART", apart), ("SUMS", sums), ("MEETS", u32::from(count > 1))]
}
