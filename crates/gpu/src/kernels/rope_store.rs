//! Rotates queries and keys and appends keys and values to a cache of halves, all in one go.

use nearside_engine::graph::RopePairing;

use super::{Access, ELEMENT_THREADS, Grid, Program, rope};

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    pub(crate) query_heads: u32,
    pub(crate) key_heads: u32,
    pub(crate) head_dim: u32,
    /// An even number.
    pub(crate) pairs: u32,
    pub(crate) pairing: RopePairing,
    pub(crate) query_stride: u32,
    pub(crate) key_stride: u32,
    /// In vectors of four.
    pub(crate) value_stride: u32,
    /// Pairs of one row of the step's table.
    pub(crate) table_stride: u32,
    /// Where these pairs start in it.
    pub(crate) table_offset: u32,
    pub(crate) context: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        let (step, distance) = rope::places(self.pairing, self.pairs);
        vec![
            self.row_limit,
            self.query_heads,
            self.key_heads,
            self.head_dim,
            self.pairs,
            step,
            distance,
            self.query_stride,
            self.key_stride,
            self.value_stride,
            self.table_stride,
            self.table_offset,
            self.context,
        ]
    }

    pub(crate) fn grid(&self) -> Grid {
        let heads = self.query_heads + self.key_heads;
        Grid::Elements { per_row: heads * (self.head_dim / 4), threads: ELEMENT_THREADS }
    }
}

/// Bindings: table, query, key, value, keys, values.
pub(crate) fn program() -> Program {
    use Access::{Read, Write};
    Program::new(
        "rope_store",
        &[include_str!("rope_store.wgsl")],
        &[("THREADS", ELEMENT_THREADS)],
        [(2, Read), (3, Write), (4, Read), (5, Read), (6, Write), (7, Write)],
    )
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::CacheFormat;
    use nearside_engine::graph::RopePairing;

    use super::{Params, program};
    use crate::kernels::rope;
    use crate::kernels::store_cache::{Plane, neighbours};
    use crate::testing::{Gpu, Random, Run, close, each_gpu, matrix};

    /// The plain function is the rotation's, then the cache's.
    fn check(gpu: &Gpu, rows: usize, heads: [usize; 2], head_dim: usize, pairs: usize, pairing: RopePairing) {
        let (context, position) = (40, 6);
        let mut random = Random::new(41);
        let strides = heads.map(|heads| (heads * head_dim).next_multiple_of(32));
        let mut queries: Vec<_> = (0..rows).map(|_| random.floats(heads[0] * head_dim)).collect();
        let mut keys: Vec<_> = (0..rows).map(|_| random.floats(heads[1] * head_dim)).collect();
        let values: Vec<_> = (0..rows).map(|_| random.floats(heads[1] * head_dim)).collect();
        let frequencies: Vec<f32> = (0..pairs).map(|pair| 0.7f32.powi(pair as i32)).collect();
        // The table has turns of another rope in front of these.
        let (table_stride, table_offset) = (pairs + 3, 3);
        let mut table = vec![9.0; rows * table_stride * 2];
        let params = Params {
            row_limit: 64,
            query_heads: heads[0] as u32,
            key_heads: heads[1] as u32,
            head_dim: head_dim as u32,
            pairs: pairs as u32,
            pairing,
            query_stride: strides[0] as u32,
            key_stride: strides[1] as u32,
            value_stride: strides[1] as u32 / 4,
            table_stride: table_stride as u32,
            table_offset: table_offset as u32,
            context: context as u32,
        };
        let turns: Vec<Vec<_>> =
            (0..rows).map(|row| rope::turns(&frequencies, 1.1, position + row).collect()).collect();
        for (row, turns) in turns.iter().enumerate() {
            table[(row * table_stride + table_offset) * 2..][..pairs * 2].copy_from_slice(turns.as_flattened());
        }
        let mut caches = [(); 2].map(|()| Plane::new(heads[1], head_dim, context, CacheFormat::F16));
        let mut run = Run::new(gpu, &program(), &params.words(), rows);
        run.step.position = position as u32;
        run.floats(&table);
        let query = run.output(&matrix(&queries, strides[0]));
        run.floats(&matrix(&keys, strides[1])).floats(&matrix(&values, strides[1]));
        let outputs = [0, 1].map(|plane: usize| run.output_words(&caches[plane].codes));
        let found = run.go(params.grid());
        for (row, turns) in turns.iter().enumerate() {
            rope::plain(&mut queries[row], head_dim, pairing, turns);
            rope::plain(&mut keys[row], head_dim, pairing, turns);
        }
        let what = format!("{rows} {heads:?} {head_dim} {pairs} {pairing:?}");
        close(&found.floats(query), &matrix(&queries, strides[0]), 1e-5, &what);
        caches[0].store(&keys, position);
        caches[1].store(&values, position);
        for (output, cache) in outputs.into_iter().zip(&caches) {
            neighbours(&found.words(output), &cache.codes, 16);
        }
    }

    #[test]
    fn queries_turn_and_keys_and_values_arrive_turned_and_not() {
        each_gpu(|gpu| {
            for pairing in [RopePairing::Adjacent, RopePairing::Halves] {
                for (rows, heads, head_dim, pairs) in [(1, [9, 3], 64, 32), (3, [2, 1], 24, 10), (17, [4, 2], 40, 4)] {
                    check(gpu, rows, heads, head_dim, pairs, pairing);
                }
            }
        });
    }
}
