//! The products of panels and inputs in blocks of 256, written once for all layouts and instruction sets.
//!
//! The sum of each part of a block is an integer, and so is its step; both are multiplied and summed as
//! integers, and the block's scales join once for 256 columns.

use super::input::WideInput;
use super::kernels::{Panel, Unpacked, add_groups, ask_ahead, strip, turns};
use super::lanes::{HALF_MASK, Lanes};
use super::layout::{BLOCK, Layout, PANEL_ROWS, WIDE_BLOCK};
use super::packing::{Groups, Masks, WORDS};

/// Steps of four parts of every row.
const STEPS: usize = PANEL_ROWS * 4;

/// How the parts of a block are gone through.
struct Turns {
    /// Stretches of a block that are alike.
    stretches: usize,
    /// Parts in a stretch.
    parts: usize,
    /// Groups of quads in a part.
    groups: usize,
}

impl Turns {
    const fn of<L: Layout>() -> Self {
        let groups = Groups::of::<L>();
        // Two parts that share words which lie differently make one stretch.
        let stretches = if groups.alike { L::PARTS } else { WIDE_BLOCK / BLOCK };
        Self { stretches, parts: L::PARTS / stretches, groups: groups.count * (WIDE_BLOCK / BLOCK) / L::PARTS }
    }
}

/// The steps of one part of a block for the rows of one vector.
///
/// # Safety
/// The instruction set is present and `heads` points to the block's scales, from the vector's first row on if
/// each row had four bytes.
#[inline(always)]
unsafe fn steps<V: Lanes, L: Layout>(heads: *const u8, part: usize) -> V::Int {
    // The step is the topmost byte of what is read; before the steps there are scales.
    // SAFETY: the steps of each four parts are four bytes for each row.
    unsafe { V::top_bytes(heads.add(L::STEPS_AT + part / 4 * STEPS + part % 4 - 3)) }
}

/// The sums of a block's belows and inputs for the rows of one vector.
///
/// # Safety
/// As for [`steps`].
#[inline(always)]
unsafe fn belows<V: Lanes, L: Layout>(heads: *const u8, input: &WideInput) -> V::Int {
    let (low, high) = if L::PARTS == 16 {
        (input.sixteenths.low.as_ptr(), input.sixteenths.high.as_ptr())
    } else {
        (input.eighths.low.as_ptr(), input.eighths.high.as_ptr())
    };
    // SAFETY: the belows follow the steps, and there is a sum for each part.
    unsafe {
        let belows = heads.add(L::STEPS_AT + L::PARTS * PANEL_ROWS);
        let mut lows = V::start(0);
        let mut highs = V::start(0);
        for four in 0..L::PARTS / 4 {
            let belows = V::load(belows.add(four * STEPS));
            lows = V::dot(false, lows, belows, V::inputs(low.add(4 * four)));
            highs = V::dot(false, highs, belows, V::inputs(high.add(4 * four)));
        }
        V::sum(V::whole(lows), V::left::<7>(V::whole(highs)))
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
    inputs: *const WideInput,
    products: *mut f32,
) {
    let Turns { stretches, parts, groups } = const { Turns::of::<L>() };
    let columns = WIDE_BLOCK / L::PARTS;
    // SAFETY: everything read and written lies in the panel, the inputs and the products as the caller describes them.
    unsafe {
        let masks = Masks::<V>::new::<L>();
        let half_mask = V::mask(HALF_MASK);
        let strip = strip::<V>(panel.blocks * (WIDE_BLOCK / BLOCK));
        let stride = panel.blocks * size_of::<WideInput>();
        for first in (0..PANEL_ROWS).step_by(VECTORS * V::COUNT) {
            let mut totals = [[V::splat(0.0); ROWS]; VECTORS];
            for block in 0..panel.blocks {
                let inputs = inputs.add(block);
                let heads = panel.heads.add(block * L::HEAD_BYTES);
                let mut sums = [[V::mask(0); ROWS]; VECTORS];
                for stretch in 0..turns::<V>(stretches) {
                    let at = block * stretches + stretch;
                    if first == 0 && at & (strip * stretches / (WIDE_BLOCK / BLOCK) - 1) == 0 {
                        ask_ahead::<V, L>(panel, at * (WIDE_BLOCK / BLOCK) / stretches, strip);
                    }
                    let levels = panel.levels.add(at * (L::LEVEL_BYTES * (WIDE_BLOCK / BLOCK) / stretches) + first * 4);
                    for within in 0..parts {
                        let part = stretch * parts + within;
                        let mut part_sums = [[V::start(0); ROWS]; VECTORS];
                        for row in 0..ROWS {
                            let sum = (*inputs.add(row * panel.blocks)).sum(L::PARTS, part);
                            let start = V::start(panel.start::<L>() * sum);
                            for vector in &mut part_sums {
                                vector[row] = start;
                            }
                        }
                        let steps_of_inputs = ((*inputs).steps.as_ptr().add(part * columns), stride);
                        let groups = (within * groups, groups);
                        add_groups::<V, L, VECTORS, ROWS>(
                            (levels, panel.table, masks),
                            groups,
                            steps_of_inputs,
                            &mut part_sums,
                        );
                        for vector in 0..VECTORS {
                            let steps = steps::<V, L>(heads.add((first + vector * V::COUNT) * 4), part);
                            for row in 0..ROWS {
                                let product = V::product(V::whole(part_sums[vector][row]), steps);
                                sums[vector][row] = V::sum(sums[vector][row], product);
                            }
                        }
                    }
                }
                add_block::<V, L, VECTORS, ROWS>(panel, (inputs, heads, half_mask), first, &sums, &mut totals);
            }
            for (vector, totals) in totals.iter().enumerate() {
                for (row, total) in totals.iter().enumerate() {
                    V::store_floats(*total, products.add(row * PANEL_ROWS + first + vector * V::COUNT));
                }
            }
        }
    }
}

/// Adds a block's sums, each times its scales, to the totals of the vectors from row `first` on.
///
/// # Safety
/// As for [`rows`]; `inputs` and `heads` point to the block's.
#[inline(always)]
unsafe fn add_block<V: Lanes, L: Layout, const VECTORS: usize, const ROWS: usize>(
    panel: Panel,
    (inputs, heads, half_mask): (*const WideInput, *const u8, V::Int),
    first: usize,
    sums: &[[V::Int; ROWS]; VECTORS],
    totals: &mut [[V::Float; ROWS]; VECTORS],
) {
    // SAFETY: the caller promises that there are scales and inputs.
    unsafe {
        for vector in 0..VECTORS {
            let head = heads.add((first + vector * V::COUNT) * 2);
            let scale = V::halves(head, half_mask);
            for row in 0..ROWS {
                let input = &*inputs.add(row * panel.blocks);
                let unit = V::splat(input.scale * panel.factor * V::HALF_UNIT);
                let total = &mut totals[vector][row];
                *total = V::add(*total, V::multiply(V::number(sums[vector][row]), V::multiply(scale, unit)));
                if L::MINIMUMS {
                    let minimum = V::multiply(V::halves(head.add(PANEL_ROWS * 2), half_mask), unit);
                    let heads = heads.add((first + vector * V::COUNT) * 4);
                    let sum = V::number(belows::<V, L>(heads, input));
                    *total = V::add(*total, V::multiply(sum, minimum));
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
    inputs: *const WideInput,
    products: *mut f32,
) {
    let columns = WIDE_BLOCK / L::PARTS;
    // SAFETY: everything read and written lies where the caller says that there is something.
    unsafe {
        let half_mask = V::mask(HALF_MASK);
        for first in (0..PANEL_ROWS).step_by(VECTORS * V::COUNT) {
            let mut totals = [[V::splat(0.0); ROWS]; VECTORS];
            for block in 0..panel.blocks {
                let inputs = inputs.add(block);
                let heads = panel.heads.add(block * L::HEAD_BYTES);
                let levels = unpacked.0.add((block * WIDE_BLOCK * PANEL_ROWS) + first * 4).cast_const();
                let mut sums = [[V::mask(0); ROWS]; VECTORS];
                for part in 0..turns::<V>(L::PARTS) {
                    let mut part_sums = [[V::start(0); ROWS]; VECTORS];
                    for row in 0..ROWS {
                        let sum = (*inputs.add(row * panel.blocks)).sum(L::PARTS, part);
                        let start = V::start(panel.start::<L>() * sum);
                        for vector in &mut part_sums {
                            vector[row] = start;
                        }
                    }
                    for turn in 0..turns::<V>(columns / 4) {
                        let quad = part * (columns / 4) + turn;
                        let levels = levels.add(quad * WORDS);
                        let mut quads = [V::load(levels); VECTORS];
                        for vector in 1..VECTORS {
                            quads[vector] = V::load(levels.add(vector * V::COUNT * 4));
                        }
                        for row in 0..ROWS {
                            let four = V::inputs((*inputs.add(row * panel.blocks)).steps.as_ptr().add(quad * 4));
                            for vector in 0..VECTORS {
                                let sum = &mut part_sums[vector][row];
                                *sum = V::dot(L::BYTE, *sum, quads[vector], four);
                            }
                        }
                    }
                    for vector in 0..VECTORS {
                        let steps = steps::<V, L>(heads.add((first + vector * V::COUNT) * 4), part);
                        for row in 0..ROWS {
                            let product = V::product(V::whole(part_sums[vector][row]), steps);
                            sums[vector][row] = V::sum(sums[vector][row], product);
                        }
                    }
                }
                add_block::<V, L, VECTORS, ROWS>(panel, (inputs, heads, half_mask), first, &sums, &mut totals);
            }
            for (vector, totals) in totals.iter().enumerate() {
                for (row, total) in totals.iter().enumerate() {
                    V::store_floats(*total, products.add(row * PANEL_ROWS + first + vector * V::COUNT));
                }
            }
        }
    }
}
