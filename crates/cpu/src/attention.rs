//! Attention in one pass over the pages of a cache.
//!
//! A part of the work is some queries that share a key/value head, over some pages. It keeps for each query
//! the largest score so far, the sum of the exponentials below it and the sum of the values they weigh, and
//! scales both sums down whenever a larger score comes. The pages come in stretches whose sums are joined one
//! after the other. Where stretches begin follows from the position alone, so that a query's result does not
//! depend on how many others are asked together with it, nor on the number of threads.

#[cfg(test)]
mod tests;

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
/// Pages of the first stretches.
const SHORT: usize = 8;
/// Pages of a stretch from page [`FAR`] on, so that there are never very many.
const LONG: usize = 16;
/// A multiple of both.
const FAR: usize = 64;
/// With fewer parts than these each stretch is a part of its own.
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
    /// The first stretch of pages that any query sees.
    first: usize,
    /// Into how many parts the stretches are divided: one, or each stretch by itself.
    splits: usize,
    /// Numbers that a part needs, its result first.
    part: usize,
}

/// The stretch that a page belongs to.
fn stretch_of(page: usize) -> usize {
    if page < FAR { page / SHORT } else { FAR / SHORT + (page - FAR) / LONG }
}

/// Its first page.
fn start_of(stretch: usize) -> usize {
    if stretch < FAR / SHORT { stretch * SHORT } else { FAR + (stretch - FAR / SHORT) * LONG }
}

/// Joins a query's sums over some pages with those over the pages before: largest score and sum of exponentials,
/// and the values they weigh.
fn join((total, sums): (&mut [f32; 2], &mut [f32]), (more, values): ([f32; 2], &[f32])) {
    // What saw nothing has no share.
    if more[0] == f32::NEG_INFINITY {
        return;
    }
    let most = total[0].max(more[0]);
    let (before, after) = (exp(total[0] - most), exp(more[0] - most));
    *total = [most, total[1] * before + more[1] * after];
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = *sum * before + value * after);
}

/// Where the numbers of a part lie, for each query one after the other.
struct Room<'a> {
    /// Largest score and sum of exponentials, of all stretches that are over.
    joined_totals: &'a mut [[f32; 2]],
    /// Weighed values, of all stretches that are over.
    joined_sums: &'a mut [f32],
    /// Largest score and sum of exponentials, of one stretch.
    totals: &'a mut [[f32; 2]],
    /// Weighed values, of one stretch.
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
        let first = stretch_of(self.seen(0).start / PAGE);
        let stretches = stretch_of((self.seen(rows - 1).end - 1) / PAGE) + 1 - first;
        let splits = if tiles * self.shape().heads < WANTED_PARTS { stretches } else { 1 };
        let width = padded(self.shape().head_dim);
        let part = tile * group * (2 * (2 + width) + self.shape().head_dim + 2 * PAGE) + PAGE;
        Division { rows: tile, tiles, first, splits, part }
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
        let (joined_totals, room) = room.split_at_mut(2 * queries);
        let (joined_sums, room) = room.split_at_mut(padded(head_dim) * queries);
        let (totals, room) = room.split_at_mut(2 * queries);
        let (sums, room) = room.split_at_mut(padded(head_dim) * queries);
        let (asked, room) = room.split_at_mut(head_dim * queries);
        let (scores, room) = room.split_at_mut(PAGE * queries);
        let (scaled, scales) = room.split_at_mut(PAGE * queries);
        let (joined_totals, totals) = (joined_totals.as_chunks_mut().0, totals.as_chunks_mut().0);
        let scales = &mut scales[..PAGE];
        Room { joined_totals, joined_sums, totals, sums, queries: asked, scores, scaled, scales }
    }

    fn run_part(&self, division: &Division, part: usize, room: &mut [f32]) {
        let CacheShape { heads, head_dim } = self.shape();
        let (split, kv_head, tile) =
            (part % division.splits, part / division.splits % heads, part / division.splits / heads);
        let rows = tile * division.rows..self.rows().min((tile + 1) * division.rows);
        let group = self.group();
        let mut room = self.room(room, rows.len() * group);
        room.joined_totals.fill([f32::NEG_INFINITY, 0.0]);
        room.joined_sums.fill(0.0);
        for (row, queries) in rows.clone().zip(room.queries.chunks_exact_mut(group * head_dim)) {
            queries.copy_from_slice(&self.queries[(row * self.heads + kv_head * group) * head_dim..][..queries.len()]);
            ops::scale(queries, self.scale);
        }
        let width = padded(head_dim);
        let pages = self.seen(rows.start).start / PAGE..self.seen(rows.end - 1).end.div_ceil(PAGE);
        let (mut page, end) = if division.splits == 1 {
            (pages.start, pages.end)
        } else {
            let stretch = division.first + split;
            (pages.start.max(start_of(stretch)), pages.end.min(start_of(stretch + 1)))
        };
        while page < end {
            room.totals.fill([f32::NEG_INFINITY, 0.0]);
            room.sums.fill(0.0);
            let stretch_end = end.min(start_of(stretch_of(page) + 1));
            for page in page..stretch_end {
                self.take_page(rows.clone(), kv_head, page, &mut room);
            }
            page = stretch_end;
            let joined = room.joined_totals.iter_mut().zip(room.joined_sums.chunks_exact_mut(width));
            let more = room.totals.iter().zip(room.sums.chunks_exact(width));
            joined.zip(more).for_each(|(joined, (total, sums))| join(joined, (*total, sums)));
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
            let mut total = [f32::NEG_INFINITY, 0.0];
            output.fill(0.0);
            for part in parts[first * division.part..].chunks_exact(division.part).take(division.splits) {
                let sums = &part[2 * queries + query * width..][..head_dim];
                join((&mut total, output), ([part[2 * query], part[2 * query + 1]], sums));
            }
            let factor = 1.0 / total[1];
            for value in output {
                *value *= factor;
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
