//! The products of panels and inputs in blocks of 32, written once for all layouts and instruction sets.

use super::input::Input;
use super::lanes::{HALF_MASK, Lanes};
use super::layout::{BLOCK, Layout, PANEL_ROWS};
use super::packing::{Groups, Masks, WORDS, group};

/// Levels and scales of one panel and where its products go.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    /// Scales and what goes with them.
    pub(super) heads: *const u8,
    /// Levels.
    pub(super) levels: *const u8,
    /// How many blocks of columns there are.
    pub(super) blocks: usize,
    /// How many bytes may be read from the levels on: those of the panels that follow, too.
    pub(super) readable: usize,
    /// What is taken from each level, nothing where there are minimums.
    pub(super) offset: i32,
    /// What every scale is multiplied with.
    pub(super) factor: f32,
    /// The levels that indices stand for.
    pub(super) table: *const u8,
}

impl Panel {
    /// What a sum begins with for each input: the compiler sees where that is nothing.
    #[inline(always)]
    pub(super) fn start<L: Layout>(&self) -> i32 {
        if L::MINIMUMS { 0 } else { -self.offset }
    }
}

/// A panel's levels, 8 bits each.
#[derive(Clone, Copy)]
pub(crate) struct Unpacked(pub(super) *mut u8);

/// A count that the compiler sees through only where unrolling pays. In WebAssembly it would put all operands
/// of an unrolled sum on the stack before it sums, far more than there are registers.
#[inline(always)]
pub(super) fn turns<V: Lanes>(count: usize) -> usize {
    if V::ROLLED { std::hint::black_box(count) } else { count }
}

/// For how many of a panel's blocks of 32 columns memory is asked for at a time, a power of two.
#[inline(always)]
pub(super) fn strip<V: Lanes>(blocks: usize) -> usize {
    // Who waits for what it asks for waits less often in long panels. In short ones it would ask for much of the next
    // panel, which asks for that again.
    if V::AHEAD == 0 { (blocks / 2).next_power_of_two().clamp(V::STRIP, 4 * V::STRIP) } else { V::STRIP }
}

/// Asks for the levels of so many blocks that come a while after the `block`th 32 columns.
///
/// # Safety
/// The instruction set is present and the panel is what it says.
#[inline(always)]
pub(super) unsafe fn ask_ahead<V: Lanes, L: Layout>(panel: Panel, block: usize, strip: usize) {
    let from = block * L::LEVEL_BYTES + V::AHEAD;
    let bytes = (strip * L::LEVEL_BYTES).min(panel.readable.saturating_sub(from));
    // SAFETY: no more is asked for than may be read.
    unsafe { V::prefetch(panel.levels.wrapping_add(from), bytes) }
}

/// Adds the products of some groups of quads of 32 columns, and of `ROWS` rows of inputs from the first group's on,
/// to the sums of each vector of rows. The rows of inputs lie `stride` bytes apart.
///
/// # Safety
/// The instruction set is present, `levels` points to the levels of 32 columns of a panel, from the first vector's
/// first row on, and `steps` to as many inputs of each row as the groups have levels.
#[inline(always)]
pub(super) unsafe fn add_groups<V: Lanes, L: Layout, const VECTORS: usize, const ROWS: usize>(
    (levels, table, masks): (*const u8, *const u8, Masks<V>),
    (first, count): (usize, usize),
    (steps, stride): (*const i8, usize),
    sums: &mut [[V::Sums; ROWS]; VECTORS],
) {
    let groups = Groups::of::<L>();
    let turns = if groups.alike && count > 1 { turns::<V>(count) } else { count };
    // SAFETY: the caller promises that the levels and the inputs are there.
    unsafe {
        for turn in 0..turns {
            let length = if groups.alike { groups.quads } else { groups.length(first + turn) };
            let steps = steps.add(4 * groups.quads * turn);
            if ROWS == 1 {
                // The inputs stay in registers, and the levels of one vector after the other pass by them.
                let mut inputs = [V::inputs(steps); 4];
                for quad in 1..length {
                    inputs[quad] = V::inputs(steps.add(4 * quad));
                }
                for vector in 0..VECTORS {
                    let quads = group::<V, L>(levels.add(vector * V::COUNT * 4), table, masks, first + turn);
                    for quad in 0..length {
                        sums[vector][0] = V::dot(L::BYTE, sums[vector][0], quads[quad], inputs[quad]);
                    }
                }
                continue;
            }
            let mut quads = [group::<V, L>(levels, table, masks, first + turn); VECTORS];
            for vector in 1..VECTORS {
                quads[vector] = group::<V, L>(levels.add(vector * V::COUNT * 4), table, masks, first + turn);
            }
            for quad in 0..length {
                for row in 0..ROWS {
                    let four = V::inputs(steps.add(4 * quad + row * stride));
                    for vector in 0..VECTORS {
                        sums[vector][row] = V::dot(L::BYTE, sums[vector][row], quads[vector][quad], four);
                    }
                }
            }
        }
    }
}

/// The products of one panel and `ROWS` rows of inputs. `VECTORS` vectors of the panel's rows are worked on at a time.
/// The products of a row of inputs lie together.
///
/// # Safety
/// The instruction set is present, the panel and each row of inputs have as many blocks as the panel says, and there
/// is room for 16 products for each row of inputs.
#[inline(always)]
pub(super) unsafe fn rows<V: Lanes, L: Layout, const VECTORS: usize, const ROWS: usize>(
    panel: Panel,
    inputs: *const Input,
    products: *mut f32,
) {
    // SAFETY: everything read and written lies in the panel, the inputs and the products as the caller describes them.
    unsafe {
        let masks = Masks::<V>::new::<L>();
        let half_mask = V::mask(HALF_MASK);
        let strip = strip::<V>(panel.blocks);
        for first in (0..PANEL_ROWS).step_by(VECTORS * V::COUNT) {
            let mut totals = [[V::splat(0.0); ROWS]; VECTORS];
            for block in 0..panel.blocks {
                if first == 0 && block & (strip - 1) == 0 {
                    ask_ahead::<V, L>(panel, block, strip);
                }
                let inputs = inputs.add(block);
                let mut sums = [[V::start(0); ROWS]; VECTORS];
                for row in 0..ROWS {
                    let start = V::start(panel.start::<L>() * (*inputs.add(row * panel.blocks)).sum);
                    for vector in &mut sums {
                        vector[row] = start;
                    }
                }
                let levels = panel.levels.add(block * L::LEVEL_BYTES + first * 4);
                let steps = ((*inputs).steps.as_ptr(), panel.blocks * size_of::<Input>());
                let groups = (0, Groups::of::<L>().count);
                add_groups::<V, L, VECTORS, ROWS>((levels, panel.table, masks), groups, steps, &mut sums);
                let heads = panel.heads.add(block * L::HEAD_BYTES + first * 2);
                for vector in 0..VECTORS {
                    let head = heads.add(vector * V::COUNT * 2);
                    let halves = V::halves(head, half_mask);
                    for row in 0..ROWS {
                        let input = &*inputs.add(row * panel.blocks);
                        let scale = V::multiply(halves, V::splat(input.scale * V::HALF_UNIT));
                        let sum = V::number(V::whole(sums[vector][row]));
                        totals[vector][row] = V::add(totals[vector][row], V::multiply(sum, scale));
                    }
                    if L::MINIMUMS {
                        let minimum = V::halves(head.add(PANEL_ROWS * 2), half_mask);
                        for row in 0..ROWS {
                            let input = &*inputs.add(row * panel.blocks);
                            let weight = V::splat(input.scale * V::HALF_UNIT * input.sum as f32);
                            totals[vector][row] = V::add(totals[vector][row], V::multiply(minimum, weight));
                        }
                    }
                }
            }
            for (vector, totals) in totals.iter().enumerate() {
                for (row, total) in totals.iter().enumerate() {
                    V::store_floats(*total, products.add(row * PANEL_ROWS + first + vector * V::COUNT));
                }
            }
        }
    }
}

/// Brings all levels of a panel out.
///
/// # Safety
/// As for [`rows`], and there is room for the levels of all rows and blocks.
#[inline(always)]
pub(super) unsafe fn unpack<V: Lanes, L: Layout>(panel: Panel, unpacked: Unpacked) {
    let groups = Groups::of::<L>();
    // SAFETY: everything read and written lies where the caller says that there is room.
    unsafe {
        let masks = Masks::<V>::new::<L>();
        for block in 0..panel.blocks * L::COLUMNS / BLOCK {
            let levels = panel.levels.add(block * L::LEVEL_BYTES);
            let places = unpacked.0.add(block * BLOCK * PANEL_ROWS);
            for row in (0..PANEL_ROWS).step_by(V::COUNT) {
                for index in 0..groups.count {
                    let quads = group::<V, L>(levels.add(row * 4), panel.table, masks, index);
                    for quad in 0..groups.length(index) {
                        V::store(quads[quad], places.add((groups.quads * index + quad) * WORDS + row * 4));
                    }
                }
            }
        }
    }
}

/// The products of one panel, whose levels were brought out, and `ROWS` rows of inputs. `VECTORS` vectors of
/// rows are worked on at a time. The products of a row of inputs lie together.
///
/// # Safety
/// The instruction set is present, the panel and each row of inputs have as many blocks as the panel says, and
/// there is room for 16 products for each row of inputs.
#[inline(always)]
pub(super) unsafe fn tile<V: Lanes, L: Layout, const VECTORS: usize, const ROWS: usize>(
    panel: Panel,
    unpacked: Unpacked,
    inputs: *const Input,
    products: *mut f32,
) {
    let turns = turns::<V>(8);
    // SAFETY: everything read and written lies where the caller says that there is something.
    unsafe {
        let half_mask = V::mask(HALF_MASK);
        for first in (0..PANEL_ROWS).step_by(VECTORS * V::COUNT) {
            let mut totals = [[V::splat(0.0); ROWS]; VECTORS];
            for block in 0..panel.blocks {
                let levels = unpacked.0.add((block * BLOCK * PANEL_ROWS) + first * 4).cast_const();
                let mut sums = [[V::start(0); ROWS]; VECTORS];
                for row in 0..ROWS {
                    let start = V::start(panel.start::<L>() * (*inputs.add(row * panel.blocks + block)).sum);
                    for vector in &mut sums {
                        vector[row] = start;
                    }
                }
                for quad in 0..turns {
                    let levels = levels.add(quad * WORDS);
                    let mut quads = [V::load(levels); VECTORS];
                    for vector in 1..VECTORS {
                        quads[vector] = V::load(levels.add(vector * V::COUNT * 4));
                    }
                    for row in 0..ROWS {
                        let four = V::inputs((*inputs.add(row * panel.blocks + block)).steps.as_ptr().add(quad * 4));
                        for vector in 0..VECTORS {
                            sums[vector][row] = V::dot(L::BYTE, sums[vector][row], quads[vector], four);
                        }
                    }
                }
                let heads = panel.heads.add(block * L::HEAD_BYTES + first * 2);
                for vector in 0..VECTORS {
                    let head = heads.add(vector * V::COUNT * 2);
                    let scale = V::halves(head, half_mask);
                    for row in 0..ROWS {
                        let input = &*inputs.add(row * panel.blocks + block);
                        let scale = V::multiply(scale, V::splat(input.scale * V::HALF_UNIT));
                        let sum = V::number(V::whole(sums[vector][row]));
                        totals[vector][row] = V::add(totals[vector][row], V::multiply(sum, scale));
                    }
                    if L::MINIMUMS {
                        let minimum = V::halves(head.add(PANEL_ROWS * 2), half_mask);
                        for row in 0..ROWS {
                            let input = &*inputs.add(row * panel.blocks + block);
                            let weight = V::splat(input.scale * V::HALF_UNIT * input.sum as f32);
                            totals[vector][row] = V::add(totals[vector][row], V::multiply(minimum, weight));
                        }
                    }
                }
            }
            for (vector, totals) in totals.iter().enumerate() {
                for (row, total) in totals.iter().enumerate() {
                    V::store_floats(*total, products.add(row * PANEL_ROWS + first + vector * V::COUNT));
                }
            }
        }
    }
}
