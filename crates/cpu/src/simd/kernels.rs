//! The products of panels and inputs, written once for all layouts and instruction sets.

use super::input::Input;
use super::lanes::{HALF_MASK, Lanes};
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
    /// How many bytes may be read from the levels on: those of the panels that follow, too.
    pub(super) readable: usize,
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

/// Bytes of one quad of every row.
const WORDS: usize = PANEL_ROWS * 4;

/// A count that the compiler sees through only where unrolling pays. In WebAssembly it would put all operands
/// of an unrolled sum on the stack before it sums, far more than there are registers.
#[inline(always)]
fn turns<V: Lanes>(count: usize) -> usize {
    if V::ROLLED { std::hint::black_box(count) } else { count }
}

/// What the kernels need to take levels apart, made once.
#[derive(Clone, Copy)]
struct Masks<V: Lanes> {
    nibbles: V::Int,
    high: V::Int,
    lowest: V::Int,
    halves: V::Int,
}

impl<V: Lanes> Masks<V> {
    /// # Safety
    /// The instruction set is present.
    #[inline(always)]
    unsafe fn new<L: Layout>() -> Self {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let high = if L::BITS == 5 { 0x1010_1010 } else { 0x3030_3030 };
            Self {
                nibbles: V::mask(0x0f0f_0f0f),
                high: V::mask(high),
                lowest: V::mask(high >> 4),
                halves: V::mask(HALF_MASK),
            }
        }
    }
}

/// Two quads of one block for the rows of one vector: number `2 * word`, `word` below 4, and the next; only
/// their lowest four bits if `nibbles` says so.
///
/// # Safety
/// `levels` points to the block's levels, from the vector's first row on, and the table to 16 bytes if the
/// layout has one.
#[inline(always)]
unsafe fn quads<V: Lanes, L: Layout>(
    levels: *const u8,
    table: *const u8,
    masks: Masks<V>,
    word: usize,
    nibbles: bool,
) -> (V::Int, V::Int) {
    // No closures here and in the kernels: they would be compiled without the instruction set.
    // SAFETY: a block has `BITS` words for each row, and no more are read.
    unsafe {
        if L::BITS == 8 {
            let first = levels.add(2 * word * WORDS);
            return (V::load(first), V::load(first.add(WORDS)));
        }
        let both = V::load(levels.add(word * WORDS));
        let low = V::and(both, masks.nibbles);
        let high = V::and(V::right::<4>(both), masks.nibbles);
        if nibbles {
            return (low, high);
        }
        if L::BITS == 5 {
            let bits = V::right_by(V::load(levels.add(4 * WORDS)), 2 * word as u32);
            let (first, second) = (V::left::<4>(bits), V::left::<3>(bits));
            return (V::or(low, V::and(first, masks.high)), V::or(high, V::and(second, masks.high)));
        }
        if L::BITS == 6 {
            let bits = V::right_by(V::load(levels.add((4 + word / 2) * WORDS)), 4 * (word % 2) as u32);
            let (first, second) = (V::left::<4>(bits), V::left::<2>(bits));
            return (V::or(low, V::and(first, masks.high)), V::or(high, V::and(second, masks.high)));
        }
        if L::TABLE {
            let table = V::table(table);
            return (V::look_up(table, low), V::look_up(table, high));
        }
        (low, high)
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
        let parts = PANEL_ROWS / V::COUNT;
        let words = turns::<V>(4 / L::SCALES);
        // Where registers are few, higher bits are multiplied apart.
        let apart = V::ROLLED && (L::BITS == 5 || L::BITS == 6);
        let masks = Masks::<V>::new::<L>();
        let mut totals = [V::splat(0.0); PANEL_ROWS];
        for block in 0..panel.blocks {
            let input = &*inputs.add(block);
            let unit = V::splat(input.scale * V::HALF_UNIT);
            if block % V::STRIP == 0 {
                let from = block * L::LEVEL_BYTES + V::AHEAD;
                let bytes = (V::STRIP * L::LEVEL_BYTES).min(panel.readable.saturating_sub(from));
                V::prefetch(panel.levels.wrapping_add(from), bytes);
            }
            for half in 0..L::SCALES {
                let steps = input.steps.as_ptr().add(half * BLOCK / L::SCALES);
                let sum = input.sum::<L>(half);
                let mut sums = [V::start(-panel.offset * sum); PANEL_ROWS];
                for turn in 0..words {
                    let early = V::inputs(steps.add(8 * turn));
                    let late = V::inputs(steps.add(8 * turn + 4));
                    for part in 0..parts {
                        let levels = panel.levels.add(block * L::LEVEL_BYTES + part * V::COUNT * 4);
                        let word = half * 4 / L::SCALES + turn;
                        let (low, high) = quads::<V, L>(levels, panel.table, masks, word, apart);
                        sums[part] = V::dot(L::BYTE, V::dot(L::BYTE, sums[part], low, early), high, late);
                    }
                }
                if apart {
                    let plane = panel.levels.add(block * L::LEVEL_BYTES + (4 + half) * WORDS);
                    let mut bits = [masks.lowest; PANEL_ROWS];
                    let mut more = [V::start(0); PANEL_ROWS];
                    for part in 0..parts {
                        bits[part] = V::load(plane.add(part * V::COUNT * 4));
                    }
                    for quad in 0..2 * words {
                        let four = V::inputs(steps.add(4 * quad));
                        for part in 0..parts {
                            more[part] = V::dot(false, more[part], V::and(bits[part], masks.lowest), four);
                            bits[part] =
                                if L::BITS == 5 { V::right::<1>(bits[part]) } else { V::right::<2>(bits[part]) };
                        }
                    }
                    for part in 0..parts {
                        sums[part] = V::join(sums[part], more[part]);
                    }
                }
                let heads = panel.heads.add(block * L::HEAD_BYTES + half * L::HEAD_BYTES / L::SCALES);
                let weight = V::splat(input.scale * V::HALF_UNIT * sum as f32);
                for part in 0..parts {
                    let head = heads.add(part * V::COUNT * 2);
                    let scale = V::multiply(V::halves(head, masks.halves), unit);
                    totals[part] = V::add(totals[part], V::multiply(V::finish(sums[part]), scale));
                    if L::MINIMUMS {
                        let minimum = V::halves(head.add(PANEL_ROWS * 2), masks.halves);
                        totals[part] = V::add(totals[part], V::multiply(minimum, weight));
                    }
                }
            }
        }
        for part in 0..parts {
            V::store_floats(totals[part], products.add(part * V::COUNT));
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
        let masks = Masks::<V>::new::<L>();
        for block in 0..panel.blocks {
            let levels = panel.levels.add(block * L::LEVEL_BYTES);
            let heads = panel.heads.add(block * L::HEAD_BYTES);
            let places = unpacked.levels.add(block * BLOCK * PANEL_ROWS);
            let mut row = 0;
            while row < PANEL_ROWS {
                for word in 0..4 {
                    let (low, high) = quads::<V, L>(levels.add(row * 4), panel.table, masks, word, false);
                    V::store(low, places.add(2 * word * WORDS + row * 4));
                    V::store(high, places.add((2 * word + 1) * WORDS + row * 4));
                }
                for head in 0..L::HEAD_BYTES / (PANEL_ROWS * 2) {
                    let values = V::halves(heads.add((head * PANEL_ROWS + row) * 2), masks.halves);
                    let to = unpacked.heads.add((block * (L::HEAD_BYTES / (PANEL_ROWS * 2)) + head) * PANEL_ROWS + row);
                    V::store_floats(V::multiply(values, V::splat(V::HALF_UNIT)), to);
                }
                row += V::COUNT;
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
    let turns = turns::<V>(8 / L::SCALES);
    // SAFETY: everything read and written lies where the caller says that there is something.
    unsafe {
        for first in (0..PANEL_ROWS).step_by(PARTS * V::COUNT) {
            let mut totals = [[V::splat(0.0); ROWS]; PARTS];
            for block in 0..blocks {
                let levels = unpacked.levels.add((block * BLOCK * PANEL_ROWS) + first * 4).cast_const();
                let heads = unpacked.heads.add(block * heads_in_block + first).cast_const();
                for half in 0..L::SCALES {
                    let mut sums = [[V::start(0); ROWS]; PARTS];
                    for row in 0..ROWS {
                        let start = V::start(-offset * (*inputs.add(row * stride + block)).sum::<L>(half));
                        for part in &mut sums {
                            part[row] = start;
                        }
                    }
                    for turn in 0..turns {
                        let quad = 8 / L::SCALES * half + turn;
                        let levels = levels.add(quad * WORDS);
                        let mut quads = [V::load(levels); PARTS];
                        for part in 1..PARTS {
                            quads[part] = V::load(levels.add(part * V::COUNT * 4));
                        }
                        for row in 0..ROWS {
                            let four = V::inputs((*inputs.add(row * stride + block)).steps.as_ptr().add(quad * 4));
                            for part in 0..PARTS {
                                sums[part][row] = V::dot(L::BYTE, sums[part][row], quads[part], four);
                            }
                        }
                    }
                    let head = heads.add(half * heads_in_block / L::SCALES);
                    for row in 0..ROWS {
                        let input = &*inputs.add(row * stride + block);
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
