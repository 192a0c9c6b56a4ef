//! Attention in one pass over the pages of a cache.
//!
//! A part of the work is some queries that share a key/value head, over some pages. It keeps for each query
//! the largest score so far, the sum of the exponentials below it and the sum of the values they weigh, and
//! scales both sums down whenever a larger score comes. The last step joins the parts of a query.

use std::ops::Range;

use half::slice::HalfFloatSliceExt;
use nearside_engine::backend::BackendError;
use nearside_engine::graph::CacheShape;

use crate::cache::{BLOCK, LayerCache, PAGE, Page, padded};
use crate::memory::grow;
use crate::ops;
use crate::pool::Pool;
use crate::simd::{Rows, Sizes, add_product, exp, exp_below, largest};

/// Queries that one part takes at most, unless more share a key/value head.
const MOST_QUERIES: usize = 16;
/// Pages that a part of few queries' work has at least.
const LEAST_PAGES: usize = 4;
/// Parts that are wanted when there are few queries. It does not follow the number of threads, so that the
/// result does not either.
const WANTED_PARTS: usize = 16;
/// Below so many multiplications, sharing the work costs more than it saves.
const PARALLEL_WORK: usize = 1 << 16;

/// What one attention is computed from.
#[derive(Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub(crate) layer: &'a LayerCache,
    /// A row of `heads` queries for each position.
    pub(crate) queries: &'a [f32],
    pub(crate) heads: usize,
    /// The position of the first row.
    pub(crate) position: usize,
    /// How many latest positions are seen.
    pub(crate) window: Option<usize>,
    /// Multiplies the scores.
    pub(crate) scale: f32,
}

/// How the work is divided: part `((tile * kv_heads) + kv_head) * splits + split`.
#[derive(Clone, Copy)]
struct Division {
    /// Rows of queries in one tile.
    rows: usize,
    tiles: usize,
    /// Stretches that the pages are divided into.
    splits: usize,
    /// Numbers that a part needs, its result first.
    part: usize,
}

/// Where the numbers of a part lie, for each query one after the other.
struct Room<'a> {
    /// Largest score and sum of exponentials.
    totals: &'a mut [[f32; 2]],
    /// Weighed values.
    sums: &'a mut [f32],
    queries: &'a mut [f32],
    scores: &'a mut [f32],
    scaled: &'a mut [f32],
    scales: &'a mut [f32],
}

impl Attention<'_> {
    fn shape(&self) -> CacheShape {
        self.layer.shape
    }

    /// Query heads that share a key/value head.
    fn group(&self) -> usize {
        self.heads / self.shape().heads
    }

    fn rows(&self) -> usize {
        self.queries.len() / (self.heads * self.shape().head_dim)
    }

    /// The positions that a row sees.
    fn seen(&self, row: usize) -> Range<usize> {
        let end = self.position + row + 1;
        end.saturating_sub(self.window.unwrap_or(end))..end
    }

    fn divide(&self) -> Division {
        let (rows, group) = (self.rows(), self.group());
        let tile = (MOST_QUERIES / group).clamp(1, rows.max(1));
        let tiles = rows.div_ceil(tile);
        let pages = self.seen(rows - 1).len().div_ceil(PAGE);
        let splits = (WANTED_PARTS / (tiles * self.shape().heads)).clamp(1, (pages / LEAST_PAGES).max(1));
        let width = padded(self.shape().head_dim);
        let part = tile * group * (2 + width + self.shape().head_dim + 2 * PAGE) + PAGE;
        Division { rows: tile, tiles, splits, part }
    }

    /// Writes a row for each row of queries. `scratch` is kept from one call to the next.
    pub(crate) fn run(&self, pool: &Pool, scratch: &mut Vec<f32>, output: &mut [f32]) -> Result<(), BackendError> {
        let (rows, shape) = (self.rows(), self.shape());
        if rows == 0 {
            return Ok(());
        }
        let work = 2 * output.len() * self.seen(rows - 1).len();
        let division = self.divide();
        let parts = division.tiles * shape.heads * division.splits;
        let needed = parts * division.part;
        grow(scratch, needed, 0.0, || "a step's attention".to_owned())?;
        let scratch = &mut scratch[..needed];
        let run_part = |part: usize, room: &mut [f32]| self.run_part(&division, part, room);
        let width = self.heads * shape.head_dim;
        if work < PARALLEL_WORK {
            scratch.chunks_exact_mut(division.part).enumerate().for_each(|(part, room)| run_part(part, room));
            output.chunks_exact_mut(width).enumerate().for_each(|(row, output)| {
                self.join_row(&division, scratch, row, output);
            });
        } else {
            pool.for_each_chunk(scratch, division.part, &run_part);
            let scratch = &*scratch;
            pool.for_each_chunk(output, width, &|row, output| self.join_row(&division, scratch, row, output));
        }
        Ok(())
    }

    /// Takes a part's numbers apart, for so many queries.
    fn room<'a>(&self, room: &'a mut [f32], queries: usize) -> Room<'a> {
        let head_dim = self.shape().head_dim;
        let (totals, room) = room.split_at_mut(2 * queries);
        let (sums, room) = room.split_at_mut(padded(head_dim) * queries);
        let (asked, room) = room.split_at_mut(head_dim * queries);
        let (scores, room) = room.split_at_mut(PAGE * queries);
        let (scaled, scales) = room.split_at_mut(PAGE * queries);
        Room { totals: totals.as_chunks_mut().0, sums, queries: asked, scores, scaled, scales: &mut scales[..PAGE] }
    }

    fn run_part(&self, division: &Division, part: usize, room: &mut [f32]) {
        let CacheShape { heads, head_dim } = self.shape();
        let (split, kv_head, tile) =
            (part % division.splits, part / division.splits % heads, part / division.splits / heads);
        let rows = tile * division.rows..self.rows().min((tile + 1) * division.rows);
        let group = self.group();
        let mut room = self.room(room, rows.len() * group);
        room.totals.fill([f32::NEG_INFINITY, 0.0]);
        room.sums.fill(0.0);
        for (row, queries) in rows.clone().zip(room.queries.chunks_exact_mut(group * head_dim)) {
            queries.copy_from_slice(&self.queries[(row * self.heads + kv_head * group) * head_dim..][..queries.len()]);
            ops::scale(queries, self.scale);
        }
        let pages = self.seen(rows.start).start / PAGE..self.seen(rows.end - 1).end.div_ceil(PAGE);
        let stretch = pages.len().div_ceil(division.splits);
        let start = pages.start + split * stretch;
        for page in start..pages.end.min(start + stretch) {
            self.take_page(rows.clone(), kv_head, page, &mut room);
        }
    }

    fn take_page(&self, rows: Range<usize>, kv_head: usize, page: usize, room: &mut Room<'_>) {
        let CacheShape { head_dim, .. } = self.shape();
        let (group, width) = (self.group(), padded(head_dim));
        let stored = &self.layer.pages[page];
        let first = page * PAGE;
        room.scores.fill(0.0);
        stored.add_scores(head_dim, kv_head, room);
        for (index, (scores, total)) in room.scores.chunks_exact_mut(PAGE).zip(room.totals.iter_mut()).enumerate() {
            let seen = self.seen(rows.start + index / group);
            let (start, end) = (seen.start.saturating_sub(first).min(PAGE), seen.end.saturating_sub(first).min(PAGE));
            scores[..start].fill(0.0);
            scores[end.max(start)..].fill(0.0);
            if start >= end {
                continue;
            }
            let scores = &mut scores[start..end];
            let [most, sum] = *total;
            let now = largest(scores).max(most);
            if now > most {
                let shrink = exp(most - now);
                room.sums[index * width..][..width].iter_mut().for_each(|value| *value *= shrink);
                *total = [now, sum * shrink];
            }
            total[1] += exp_below(scores, now);
        }
        let filled = (self.seen(rows.end - 1).end - first).min(PAGE);
        stored.add_values(head_dim, kv_head, filled, room);
    }

    /// Joins the parts of one row's queries.
    fn join_row(&self, division: &Division, parts: &[f32], row: usize, output: &mut [f32]) {
        let CacheShape { heads, head_dim } = self.shape();
        let (group, width) = (self.group(), padded(head_dim));
        let (tile, place) = (row / division.rows, row % division.rows);
        let queries = division.rows.min(self.rows() - tile * division.rows) * group;
        for (head, output) in output.chunks_exact_mut(head_dim).enumerate() {
            let query = place * group + head % group;
            let first = (tile * heads + head / group) * division.splits;
            let parts = || parts[first * division.part..].chunks_exact(division.part).take(division.splits);
            let most = parts().map(|part| part[2 * query]).fold(f32::NEG_INFINITY, f32::max);
            // A part that saw nothing has the share zero.
            let share = |part: &[f32]| exp(part[2 * query] - most);
            let total: f32 = parts().map(|part| share(part) * part[2 * query + 1]).sum();
            output.fill(0.0);
            for part in parts() {
                let factor = share(part) / total;
                let sums = &part[2 * queries + query * width..][..head_dim];
                output.iter_mut().zip(sums).for_each(|(output, sum)| *output += factor * sum);
            }
        }
    }
}

impl Page {
    /// Adds to each query's scores its products with a head's keys.
    fn add_scores(&self, head_dim: usize, head: usize, room: &mut Room<'_>) {
        let rows = room.totals.len();
        let elements = head * head_dim * PAGE..(head + 1) * head_dim * PAGE;
        match self {
            Self::Half { keys, .. } => add_product(
                Sizes { rows, depth: head_dim, columns: PAGE },
                Rows { items: room.queries, stride: head_dim },
                Rows { items: &keys[elements], stride: PAGE },
                Rows { items: room.scores, stride: PAGE },
            ),
            Self::Bytes { keys, key_scales, .. } => {
                let blocks = head_dim.div_ceil(BLOCK);
                for block in 0..blocks {
                    let depth = BLOCK.min(head_dim - block * BLOCK);
                    key_scales[(head * blocks + block) * PAGE..][..PAGE].convert_to_f32_slice(room.scales);
                    room.scaled.fill(0.0);
                    add_product(
                        Sizes { rows, depth, columns: PAGE },
                        Rows { items: &room.queries[block * BLOCK..], stride: head_dim },
                        Rows { items: &keys[elements.clone()][block * BLOCK * PAGE..], stride: PAGE },
                        Rows { items: room.scaled, stride: PAGE },
                    );
                    for (scores, products) in room.scores.chunks_exact_mut(PAGE).zip(room.scaled.chunks_exact(PAGE)) {
                        for ((score, product), scale) in scores.iter_mut().zip(products).zip(&*room.scales) {
                            *score += product * scale;
                        }
                    }
                }
            }
        }
    }

    /// Adds to each query's sums the first `filled` values of a head, weighed with what the scores became.
    fn add_values(&self, head_dim: usize, head: usize, filled: usize, room: &mut Room<'_>) {
        let rows = room.totals.len();
        let width = padded(head_dim);
        let elements = head * width * PAGE..(head + 1) * width * PAGE;
        match self {
            Self::Half { values, .. } => add_product(
                Sizes { rows, depth: filled, columns: width },
                Rows { items: room.scores, stride: PAGE },
                Rows { items: &values[elements], stride: width },
                Rows { items: room.sums, stride: width },
            ),
            Self::Bytes { values, value_scales, .. } => {
                let blocks = head_dim.div_ceil(BLOCK);
                for block in 0..blocks {
                    value_scales[(head * blocks + block) * PAGE..][..PAGE].convert_to_f32_slice(room.scales);
                    for (scaled, scores) in room.scaled.chunks_exact_mut(PAGE).zip(room.scores.chunks_exact(PAGE)) {
                        for ((scaled, score), scale) in scaled.iter_mut().zip(scores).zip(&*room.scales) {
                            *scaled = score * scale;
                        }
                    }
                    add_product(
                        Sizes { rows, depth: filled, columns: BLOCK },
                        Rows { items: room.scaled, stride: PAGE },
                        Rows { items: &values[elements.clone()][block * BLOCK..], stride: width },
                        Rows { items: &mut room.sums[block * BLOCK..], stride: width },
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::CacheFormat;

    use super::*;
    use crate::cache::Cache;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
            })
            .collect()
    }

    /// Attention in f64, by its definition.
    fn plain(query: &[f32], keys: &[&[f32]], values: &[&[f32]], scale: f32) -> Vec<f64> {
        let product = |left: &[f32], right: &[f32]| -> f64 {
            left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
        };
        let scores: Vec<f64> = keys.iter().map(|key| product(query, key) * f64::from(scale)).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
        let total: f64 = shares.iter().sum();
        let sum = |element: usize| -> f64 {
            shares.iter().zip(values).map(|(share, value)| share / total * f64::from(value[element])).sum()
        };
        (0..query.len()).map(sum).collect()
    }

    struct Case {
        shape: CacheShape,
        group: usize,
        past: usize,
        rows: usize,
        window: Option<usize>,
        threads: usize,
    }

    /// The largest difference from the plain version over a cache that is filled in two steps.
    fn difference(case: &Case, format: CacheFormat) -> f64 {
        let Case { shape, group, past, rows, window, threads } = *case;
        let (width, length) = (shape.heads * shape.head_dim, past + rows);
        let keys: Vec<f32> = numbers(length * width, 1).iter().map(|value| value * 3.0).collect();
        let values = numbers(length * width, 2);
        let heads = shape.heads * group;
        let queries = numbers(rows * heads * shape.head_dim, 3);
        let mut cache = Cache::new(&[shape], format);
        for (start, end) in [(0, past), (past, length)] {
            cache.reserve(start, end).expect("room for a few positions");
            for position in start..end {
                let row = position * width..(position + 1) * width;
                cache.layers[0].put(position, &keys[row.clone()], &values[row]);
            }
        }
        let scale = 1.0 / (shape.head_dim as f32).sqrt();
        let attention = Attention { layer: &cache.layers[0], queries: &queries, heads, position: past, window, scale };
        let mut output = vec![f32::NAN; queries.len()];
        attention.run(&Pool::new(threads), &mut Vec::new(), &mut output).expect("room for a few numbers");
        let mut largest: f64 = 0.0;
        for (index, output) in output.chunks_exact(shape.head_dim).enumerate() {
            let (row, head) = (index / heads, index % heads);
            let seen = (past + row + 1).saturating_sub(window.unwrap_or(usize::MAX))..past + row + 1;
            let place = |position: usize| position * width + head / group * shape.head_dim;
            let keys: Vec<&[f32]> = seen.clone().map(|position| &keys[place(position)..][..shape.head_dim]).collect();
            let values: Vec<&[f32]> = seen.map(|position| &values[place(position)..][..shape.head_dim]).collect();
            let query = &queries[index * shape.head_dim..][..shape.head_dim];
            for (ours, exact) in output.iter().zip(plain(query, &keys, &values, scale)) {
                let difference = (f64::from(*ours) - exact).abs();
                assert!(!difference.is_nan(), "row {row}, head {head}");
                largest = largest.max(difference);
            }
        }
        largest
    }

    fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for (heads, head_dim, group) in [(1, 8, 4), (3, 64, 3), (2, 80, 5), (1, 33, 1), (2, 128, 6), (4, 16, 20)] {
            for (past, rows) in [(0, 1), (5, 3), (63, 1), (64, 1), (60, 9), (200, 40), (700, 1)] {
                for window in [None, Some(1), Some(50), Some(64)] {
                    let threads = if rows == 40 || past == 700 { 3 } else { 1 };
                    cases.push(Case { shape: CacheShape { heads, head_dim }, group, past, rows, window, threads });
                }
            }
        }
        cases
    }

    fn within(format: CacheFormat, bound: f64) {
        for case in cases() {
            let difference = difference(&case, format);
            let Case { shape, group, past, rows, window, .. } = case;
            assert!(difference <= bound, "{shape:?} {group} {past} {rows} {window:?}: {difference}");
        }
    }

    #[test]
    fn half_precision_keys_and_values_change_the_third_digit_at_most() {
        within(CacheFormat::F16, 2e-3);
    }

    #[test]
    fn bytes_for_keys_and_values_change_the_second_digit_at_most() {
        within(CacheFormat::Q8_0, 2e-2);
    }
}
