//! The products of panels and inputs, written once for all layouts and instruction sets.

use super::input::Input;
use super::lanes::Lanes;
use super::layout::{BLOCK, Layout, PANEL_ROWS};

/// Levels and scales of one panel and where its products go.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    /// Scales and minimums.
    pub(super) heads: *const u8,
    /// Levels.
    pub(super) levels: *const u8,
    /// How many blocks of columns there are.
    pub(super) blocks: usize,
    /// What is taken from each level.
    pub(super) offset: i32,
    /// The levels that indices stand for.
    pub(super) table: *const u8,
}

/// A panel taken apart: levels of 8 bits, scales and minimums in single precision.
#[derive(Clone, Copy)]
pub(super) struct Unpacked {
    pub(super) heads: *mut f32,
    pub(super) levels: *mut u8,
}

/// The levels of one block, for the rows of one vector.
///
/// # Safety
/// `levels` points to the block's levels, from the vector's first row on, and the table to 16 bytes if the
/// layout has one.
#[inline(always)]
unsafe fn quads<V: Lanes, L: Layout>(levels: *const u8, table: *const u8) -> [V::Int; 8] {
    const WORDS: usize = PANEL_ROWS * 4;
    // SAFETY: a block has `BITS` words for each row, and no more are read.
    unsafe {
        if L::BITS == 8 {
            return std::array::from_fn(|index| V::load(levels.add(index * WORDS)));
        }
        let raw: [V::Int; 4] = std::array::from_fn(|index| V::load(levels.add(index * WORDS)));
        let low = raw.map(|raw| V::and(raw, 0x0f0f_0f0f));
        let high = raw.map(|raw| V::and(V::right::<4>(raw), 0x0f0f_0f0f));
        let [a, b, c, d] = low;
        let [e, f, g, h] = high;
        match L::BITS {
            5 => {
                let bits = V::load(levels.add(4 * WORDS));
                let fifth = |nibbles, bits| V::or(nibbles, V::and(bits, 0x1010_1010));
                [
                    fifth(a, V::left::<4>(bits)),
                    fifth(b, V::left::<3>(bits)),
                    fifth(c, V::left::<2>(bits)),
                    fifth(d, V::left::<1>(bits)),
                    fifth(e, bits),
                    fifth(f, V::right::<1>(bits)),
                    fifth(g, V::right::<2>(bits)),
                    fifth(h, V::right::<3>(bits)),
                ]
            }
            6 => {
                let (first, second) = (V::load(levels.add(4 * WORDS)), V::load(levels.add(5 * WORDS)));
                let two = |nibbles, bits| V::or(nibbles, V::and(bits, 0x3030_3030));
                [
                    two(a, V::left::<4>(first)),
                    two(b, V::left::<2>(first)),
                    two(c, first),
                    two(d, V::right::<2>(first)),
                    two(e, V::left::<4>(second)),
                    two(f, V::left::<2>(second)),
                    two(g, second),
                    two(h, V::right::<2>(second)),
                ]
            }
            _ if L::TABLE => {
                let table = V::table(table);
                [a, b, c, d, e, f, g, h].map(|index| V::look_up(table, index))
            }
            _ => [a, b, c, d, e, f, g, h],
        }
    }
}

/// The products of one panel and one row of inputs.
///
/// # Safety
/// The instruction set is present, the panel and the inputs have as many blocks as the panel says, and there
/// is room for 16 products.
#[inline(always)]
pub(super) unsafe fn matvec<V: Lanes, L: Layout>(panel: Panel, inputs: *const Input, products: *mut f32) {
    // SAFETY: everything read lies in the panel and the inputs as the caller describes them.
    unsafe {
        let mut totals = [V::splat(0.0); PANEL_ROWS];
        let parts = PANEL_ROWS / V::COUNT;
        for block in 0..panel.blocks {
            let input = &*inputs.add(block);
            let steps = input.steps.as_ptr();
            let heads = panel.heads.add(block * L::HEAD_BYTES);
            let levels = panel.levels.add(block * L::LEVEL_BYTES);
            let unit = V::splat(input.scale * V::HALF_UNIT);
            for (part, total) in totals.iter_mut().enumerate().take(parts) {
                let row = part * V::COUNT;
                let quads = quads::<V, L>(levels.add(row * 4), panel.table);
                for half in 0..L::SCALES {
                    let sum = input.sum::<L>(half);
                    let mut sums = V::start(-panel.offset * sum);
                    for quad in 8 / L::SCALES * half..8 / L::SCALES * (half + 1) {
                        sums = V::dot(L::BYTE, sums, quads[quad], V::inputs(steps.add(quad * 4)));
                    }
                    let head = heads.add((half * L::HEAD_BYTES / L::SCALES) + row * 2);
                    let scale = V::multiply(V::halves(head), unit);
                    *total = V::add(*total, V::multiply(V::finish(sums), scale));
                    if L::MINIMUMS {
                        let weight = V::splat(input.scale * V::HALF_UNIT * sum as f32);
                        *total = V::add(*total, V::multiply(V::halves(head.add(PANEL_ROWS * 2)), weight));
                    }
                }
            }
        }
        for (part, total) in totals.iter().enumerate().take(parts) {
            V::store_floats(*total, products.add(part * V::COUNT));
        }
    }
}

/// Takes a panel apart.
///
/// # Safety
/// As for [`matvec`], and there is room for 32 levels and for a single-precision number for each scale and
/// minimum, of all rows and blocks.
#[inline(always)]
pub(super) unsafe fn unpack<V: Lanes, L: Layout>(panel: Panel, unpacked: Unpacked) {
    // SAFETY: everything read and written lies where the caller says that there is room.
    unsafe {
        for block in 0..panel.blocks {
            let levels = panel.levels.add(block * L::LEVEL_BYTES);
            let heads = panel.heads.add(block * L::HEAD_BYTES);
            for row in (0..PANEL_ROWS).step_by(V::COUNT) {
                let quads = quads::<V, L>(levels.add(row * 4), panel.table);
                for (index, quad) in quads.into_iter().enumerate() {
                    V::store(quad, unpacked.levels.add(((block * 8 + index) * PANEL_ROWS + row) * 4));
                }
                for head in 0..L::HEAD_BYTES / (PANEL_ROWS * 2) {
                    let values = V::halves(heads.add((head * PANEL_ROWS + row) * 2));
                    let to = unpacked.heads.add((block * (L::HEAD_BYTES / (PANEL_ROWS * 2)) + head) * PANEL_ROWS + row);
                    V::store_floats(V::multiply(values, V::splat(V::HALF_UNIT)), to);
                }
            }
        }
    }
}

/// The products of one panel, taken apart, and `ROWS` rows of inputs, each `stride` after the one before.
/// `PARTS` vectors of rows are worked on at a time. The products of a row of inputs lie together.
///
/// # Safety
/// The instruction set is present, the panel and each row of inputs have `blocks` blocks, and there is room
/// for 16 products for each row of inputs.
#[inline(always)]
pub(super) unsafe fn tile<V: Lanes, L: Layout, const PARTS: usize, const ROWS: usize>(
    unpacked: Unpacked,
    (blocks, offset): (usize, i32),
    inputs: *const Input,
    stride: usize,
    products: *mut f32,
) {
    let heads_in_block = L::HEAD_BYTES / 2;
    // SAFETY: everything read and written lies where the caller says that there is something.
    unsafe {
        for first in (0..PANEL_ROWS).step_by(PARTS * V::COUNT) {
            let mut totals = [[V::splat(0.0); ROWS]; PARTS];
            for block in 0..blocks {
                let levels = unpacked.levels.add((block * BLOCK * PANEL_ROWS) + first * 4).cast_const();
                let heads = unpacked.heads.add(block * heads_in_block + first).cast_const();
                let input = |row: usize| &*inputs.add(row * stride + block);
                for half in 0..L::SCALES {
                    let mut sums = [[V::start(0); ROWS]; PARTS];
                    for row in 0..ROWS {
                        let start = V::start(-offset * input(row).sum::<L>(half));
                        for part in &mut sums {
                            part[row] = start;
                        }
                    }
                    for quad in 8 / L::SCALES * half..8 / L::SCALES * (half + 1) {
                        let quads: [V::Int; PARTS] =
                            std::array::from_fn(|part| V::load(levels.add((quad * PANEL_ROWS + part * V::COUNT) * 4)));
                        for row in 0..ROWS {
                            let four = V::inputs(input(row).steps.as_ptr().add(quad * 4));
                            for part in 0..PARTS {
                                sums[part][row] = V::dot(L::BYTE, sums[part][row], quads[part], four);
                            }
                        }
                    }
                    let head = heads.add(half * heads_in_block / L::SCALES);
                    for row in 0..ROWS {
                        let input = input(row);
                        let unit = V::splat(input.scale);
                        let weight = V::splat(input.scale * input.sum::<L>(half) as f32);
                        for part in 0..PARTS {
                            let total = &mut totals[part][row];
                            let scale = V::multiply(V::floats(head.add(part * V::COUNT)), unit);
                            *total = V::add(*total, V::multiply(V::finish(sums[part][row]), scale));
                            if L::MINIMUMS {
                                let minimum = V::floats(head.add(PANEL_ROWS + part * V::COUNT));
                                *total = V::add(*total, V::multiply(minimum, weight));
                            }
                        }
                    }
                }
            }
            for (part, totals) in totals.iter().enumerate() {
                for (row, total) in totals.iter().enumerate() {
                    V::store_floats(*total, products.add(row * PANEL_ROWS + first + part * V::COUNT));
                }
            }
        }
    }
}
