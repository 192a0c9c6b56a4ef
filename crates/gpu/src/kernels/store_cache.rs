//! Appends keys and values to a cache, as halves.

use super::{Access, ELEMENT_THREADS, Grid, Program};

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    pub(crate) heads: u32,
    /// Words, of two elements, in a head.
    pub(crate) words: u32,
    pub(crate) context: u32,
    /// In vectors of two, as `value_stride`.
    pub(crate) key_stride: u32,
    pub(crate) value_stride: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.row_limit, self.heads, self.words, self.context, self.key_stride, self.value_stride]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Elements { per_row: self.heads * self.words, threads: ELEMENT_THREADS }
    }
}

/// Bindings: key, value, keys, values.
pub(crate) fn program() -> Program {
    use Access::{Read, Write};
    Program::new(
        "store_cache",
        &[include_str!("store_cache.wgsl")],
        &[("THREADS", ELEMENT_THREADS)],
        [(2, Read), (3, Read), (4, Write), (5, Write)],
    )
}

/// Two floats as halves in one word.
#[cfg(test)]
pub(crate) fn pack(pair: &[f32]) -> u32 {
    let bits = |value: f32| u32::from(half::f16::from_f32(value).to_bits());
    bits(pair[0]) | bits(pair[1]) << 16
}

/// Puts rows at `position` of a cache whose heads each have `context` positions.
#[cfg(test)]
pub(crate) fn plain(cache: &mut [u32], rows: &[Vec<f32>], head_dim: usize, context: usize, position: usize) {
    for (row, values) in rows.iter().enumerate() {
        for (head, values) in values.chunks(head_dim).enumerate() {
            for (word, pair) in values.chunks(2).enumerate() {
                cache[(head * context + position + row) * head_dim / 2 + word] = pack(pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Params, plain, program};
    use crate::testing::{Random, Run, each_gpu, matrix};

    #[test]
    fn rows_land_at_their_position_of_their_head() {
        each_gpu(|gpu| {
            for (rows, heads, head_dim) in [(1, 3, 64usize), (3, 1, 8), (17, 2, 40)] {
                let (context, position) = (24, 5);
                let mut random = Random::new(8);
                let stride = (heads * head_dim).next_multiple_of(32);
                let keys: Vec<_> = (0..rows).map(|_| random.floats(heads * head_dim)).collect();
                let values: Vec<_> = (0..rows).map(|_| random.floats(heads * head_dim)).collect();
                let mut expected = [vec![7; heads * context * head_dim / 2], vec![8; heads * context * head_dim / 2]];
                let params = Params {
                    row_limit: 32,
                    heads: heads as u32,
                    words: head_dim as u32 / 2,
                    context: context as u32,
                    key_stride: stride as u32 / 2,
                    value_stride: stride as u32 / 2,
                };
                let mut run = Run::new(gpu, &program(), &params.words(), rows);
                run.step.position = position as u32;
                run.floats(&matrix(&keys, stride)).floats(&matrix(&values, stride));
                let outputs = [run.output_words(&expected[0]), run.output_words(&expected[1])];
                let found = run.go(params.grid());
                plain(&mut expected[0], &keys, head_dim, context, position);
                plain(&mut expected[1], &values, head_dim, context, position);
                for (output, expected) in outputs.into_iter().zip(&expected) {
                    // Adapters may round halves either way.
                    for (found, expected) in found.words(output).iter().zip(expected) {
                        for shift in [0, 16] {
                            let (found, expected) =
                                ((found >> shift & 0xffff) as i32, (expected >> shift & 0xffff) as i32);
                            assert!((found - expected).abs() <= 1, "{found:x} is not {expected:x}");
                        }
                    }
                }
            }
        });
    }
}
