//! Causal attention over a cache, with a running softmax.

use nearside_engine::backend::CacheFormat;

use super::{Access, Grid, Program, reduce};
use crate::adapter::Tuning;
use crate::template::Definition;

/// Tokens that one workgroup takes together in a step of several; wide heads leave memory for fewer.
fn queries(head_dim: u32, single: bool) -> u32 {
    match (single, head_dim) {
        (true, _) => 1,
        (false, ..=256) => 4,
        (false, _) => 2,
    }
}

/// Positions that a workgroup scores together, at least.
const THREADS: u32 = 128;

/// `value_at` in WGSL, and what else both kernels that attend know of a cache, directed by [`cached`].
pub(super) const CACHED: &str = include_str!("cached.wgsl");

/// What both are told: each invocation scores one position for each query, and gathers one word of the values of a
/// slice of the positions.
pub(super) fn cached(head_dim: u32, queries: u32, format: CacheFormat, tuning: &Tuning) -> Vec<Definition> {
    let words = head_dim / 2;
    let threads = words.max(THREADS);
    let own = [
        ("HEAD_DIM", head_dim),
        ("WORDS", words),
        ("QUERIES", queries),
        ("THREADS", threads),
        ("Q8", u32::from(format == CacheFormat::Q8_0)),
    ];
    own.into_iter().chain(reduce::whole(queries, 1, tuning)).chain(reduce::slices(threads / words, words, 1)).collect()
}

/// The widest head whose words fit one workgroup.
pub(crate) const MAX_HEAD_DIM: usize = 512;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Params {
    pub(crate) row_limit: u32,
    /// Query heads.
    pub(crate) heads: u32,
    /// Query heads for each head of the cache.
    pub(crate) share: u32,
    pub(crate) context: u32,
    /// The positions seen; the largest number when all are.
    pub(crate) window: u32,
    /// In vectors of four.
    pub(crate) query_stride: u32,
    /// In vectors of two.
    pub(crate) output_stride: u32,
    pub(crate) scale: f32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![
            self.row_limit,
            self.heads,
            self.share,
            self.context,
            self.window,
            self.query_stride,
            self.output_stride,
            self.scale.to_bits(),
        ]
    }

    pub(crate) fn grid(&self, head_dim: u32, single: bool) -> Grid {
        Grid::Tiles { per_tile: self.heads, rows: queries(head_dim, single) }
    }
}

/// For one token or for several. Bindings: query, keys, values, output, and with eight-bit codes the scales
/// of the keys and of the values.
pub(crate) fn program(head_dim: u32, single: bool, format: CacheFormat, tuning: &Tuning) -> Program {
    use Access::{Read, Write};
    let coded = format == CacheFormat::Q8_0;
    Program::new(
        "attention",
        &[CACHED, reduce::WHOLE, reduce::SLICES, include_str!("attention.wgsl")],
        &cached(head_dim, queries(head_dim, single), format, tuning),
        [(2, Read), (3, Read), (4, Read), (5, Write)]
            .into_iter()
            .chain(coded.then_some([(6, Read), (7, Read)]).into_iter().flatten()),
    )
}

/// One head of one token at the end of `keys` and `values`.
pub(crate) fn plain(query: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>], scale: f32) -> Vec<f32> {
    let scores: Vec<f32> =
        keys.iter().map(|key| key.iter().zip(query).map(|(a, b)| a * b).sum::<f32>() * scale).collect();
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = scores.iter().map(|score| (score - best).exp()).collect();
    let total: f32 = weights.iter().sum();
    (0..query.len())
        .map(|element| weights.iter().zip(values).map(|(weight, value)| weight * value[element]).sum::<f32>() / total)
        .collect()
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::CacheFormat;

    use super::{Params, plain, program};
    use crate::kernels::store_cache::{self, Plane};
    use crate::testing::{Gpu, Random, Run, close, each_gpu, matrix};

    struct Case {
        rows: usize,
        position: usize,
        heads: usize,
        cache_heads: usize,
        head_dim: usize,
        window: Option<usize>,
    }

    fn check(gpu: &Gpu, case: &Case) {
        check_format(gpu, case, CacheFormat::F16);
        if case.head_dim.is_multiple_of(32) {
            check_format(gpu, case, CacheFormat::Q8_0);
        }
    }

    fn check_format(gpu: &Gpu, case: &Case, format: CacheFormat) {
        let Case { rows, position, heads, cache_heads, head_dim, window } = *case;
        let mut random = Random::new(6);
        let context = position + rows + 3;
        let stored = |random: &mut Random| store_cache::kept(&random.floats(cache_heads * head_dim), head_dim, format);
        let keys: Vec<_> = (0..position + rows).map(|_| stored(&mut random)).collect();
        let values: Vec<_> = (0..position + rows).map(|_| stored(&mut random)).collect();
        let queries: Vec<_> = (0..rows).map(|_| random.floats(heads * head_dim)).collect();
        let share = heads / cache_heads;
        let expected: Vec<Vec<f32>> = (0..rows)
            .map(|row| {
                (0..heads)
                    .flat_map(|head| {
                        let end = position + row + 1;
                        let start = window.map_or(0, |window| end.saturating_sub(window));
                        let columns = head / share * head_dim..(head / share + 1) * head_dim;
                        let part = |cache: &[Vec<f32>]| -> Vec<Vec<f32>> {
                            cache[start..end].iter().map(|row| row[columns.clone()].to_vec()).collect()
                        };
                        let query = &queries[row][head * head_dim..][..head_dim];
                        plain(query, &part(&keys), &part(&values), 0.3)
                    })
                    .collect()
            })
            .collect();
        let mut caches =
            [Plane::new(cache_heads, head_dim, context, format), Plane::new(cache_heads, head_dim, context, format)];
        caches[0].store(&keys, 0);
        caches[1].store(&values, 0);
        let stride = (heads * head_dim).next_multiple_of(32);
        let params = Params {
            row_limit: 64,
            heads: heads as u32,
            share: share as u32,
            context: context as u32,
            window: window.map_or(u32::MAX, |window| window as u32),
            query_stride: stride as u32 / 4,
            output_stride: stride as u32 / 2,
            scale: 0.3,
        };
        for single in [true, false] {
            if single && rows > 1 {
                continue;
            }
            let mut run = Run::new(gpu, &program(head_dim as u32, single, format, &gpu.tuning), &params.words(), rows);
            run.step.position = position as u32;
            run.floats(&matrix(&queries, stride)).words(&caches[0].codes).words(&caches[1].codes);
            let output = run.output(&vec![0.0; rows * stride]);
            if format == CacheFormat::Q8_0 {
                run.words(&caches[0].scales).words(&caches[1].scales);
            }
            let found = run.go(params.grid(head_dim as u32, single)).floats(output);
            close(&found, &matrix(&expected, stride), 1e-4, &format!("{rows} at {position}, {head_dim}, {format:?}"));
        }
    }

    #[test]
    fn short_and_long_pasts_windows_and_shared_heads() {
        each_gpu(|gpu| {
            for (rows, position, heads, cache_heads, head_dim, window) in [
                (1, 0, 9, 3, 64, None),
                (1, 1000, 4, 2, 24, None),
                (3, 0, 2, 2, 8, None),
                (17, 130, 4, 1, 256, None),
                (17, 300, 3, 3, 96, Some(20)),
                (1, 700, 2, 1, 128, Some(512)),
                (5, 2, 1, 1, 512, Some(1)),
            ] {
                check(gpu, &Case { rows, position, heads, cache_heads, head_dim, window });
            }
        });
    }

    #[test]
    fn a_past_longer_than_any_workgroup_memory() {
        each_gpu(|gpu| {
            check(gpu, &Case { rows: 2, position: 20_000, heads: 1, cache_heads: 1, head_dim: 8, window: None });
        });
    }
}
