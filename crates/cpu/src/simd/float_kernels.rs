//! The products of matrices that are numbers already. Sixteen rows make a panel here too; the numbers of one
//! column lie side by side.

use super::lanes::{HALF_MASK, Lanes};
use super::layout::PANEL_ROWS;

/// How the numbers are stored.
pub(crate) trait Number: Copy + Send + Sync + 'static {
    /// Bytes of one.
    const BYTES: usize;
    /// Which of the ways to load a vector of them.
    const KIND: NumberKind;
}

/// The ways to load a vector of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberKind {
    /// Single precision.
    Single,
    /// Half precision.
    Half,
    /// The upper half of single precision.
    Brain,
}

/// `f32`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Single;
/// `f16`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Half;
/// `bf16`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brain;

impl Number for Single {
    const BYTES: usize = 4;
    const KIND: NumberKind = NumberKind::Single;
}

impl Number for Half {
    const BYTES: usize = 2;
    const KIND: NumberKind = NumberKind::Half;
}

impl Number for Brain {
    const BYTES: usize = 2;
    const KIND: NumberKind = NumberKind::Brain;
}

/// One vector of numbers.
///
/// # Safety
/// The instruction set is present, and `from` points to as many numbers as a vector has rows.
#[inline(always)]
unsafe fn load<V: Lanes, N: Number>(from: *const u8, mask: V::Int) -> V::Float {
    // SAFETY: the caller promises the instructions and the memory.
    unsafe {
        match N::KIND {
            NumberKind::Single => V::floats(from.cast()),
            NumberKind::Half => V::multiply(V::halves(from, mask), V::splat(V::HALF_UNIT)),
            NumberKind::Brain => V::upper_halves(from),
        }
    }
}

/// Sums that run side by side, so that none waits for the one before.
const SUMS: usize = 4;

/// The products of a panel and `ROWS` rows of inputs, each of `columns`, one after the other. The products of
/// a row of inputs lie together.
///
/// # Safety
/// The instruction set is present, the panel has `columns` columns, and there is room for the products.
#[inline(always)]
pub(super) unsafe fn products<V: Lanes, N: Number, const ROWS: usize>(
    panel: *const u8,
    columns: usize,
    inputs: *const f32,
    products: *mut f32,
) {
    // SAFETY: everything read and written lies where the caller says that there is something.
    unsafe {
        let mask = V::mask(HALF_MASK);
        for first in (0..PANEL_ROWS).step_by(V::COUNT) {
            let numbers = panel.add(first * N::BYTES);
            let mut totals = [[V::splat(0.0); ROWS]; SUMS];
            for column in 0..columns {
                let weights = load::<V, N>(numbers.add(column * PANEL_ROWS * N::BYTES), mask);
                let totals = &mut totals[column % SUMS];
                for (row, total) in totals.iter_mut().enumerate() {
                    let input = V::splat(*inputs.add(row * columns + column));
                    *total = V::add(*total, V::multiply(weights, input));
                }
            }
            for row in 0..ROWS {
                let (even, odd) = (V::add(totals[0][row], totals[1][row]), V::add(totals[2][row], totals[3][row]));
                V::store_floats(V::add(even, odd), products.add(row * PANEL_ROWS + first));
            }
        }
    }
}
