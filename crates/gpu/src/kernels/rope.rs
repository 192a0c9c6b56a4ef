//! Rotates heads by their position.

use nearside_engine::graph::RopePairing;

use super::{Access, ELEMENT_THREADS, Grid, Program};

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    pub(crate) heads: u32,
    pub(crate) head_dim: u32,
    pub(crate) pairs: u32,
    pub(crate) pairing: RopePairing,
    pub(crate) stride: u32,
    /// Pairs of one row of the step's table.
    pub(crate) table_stride: u32,
    /// Where this operation's pairs start in it.
    pub(crate) table_offset: u32,
}

/// How far the first elements of neighbouring pairs are apart, and the two elements of one.
pub(super) fn places(pairing: RopePairing, pairs: u32) -> (u32, u32) {
    match pairing {
        RopePairing::Adjacent => (2, 1),
        RopePairing::Halves => (1, pairs),
    }
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        let (step, distance) = places(self.pairing, self.pairs);
        vec![
            self.row_limit,
            self.heads,
            self.head_dim,
            self.pairs,
            step,
            distance,
            self.stride,
            self.table_stride,
            self.table_offset,
        ]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Elements { per_row: self.heads * self.pairs, threads: ELEMENT_THREADS }
    }
}

/// Bindings: table, values.
pub(crate) fn program() -> Program {
    Program::new(
        "rope",
        &[include_str!("rope.wgsl")],
        &[("THREADS", ELEMENT_THREADS)],
        [(2, Access::Read), (3, Access::Write)],
    )
}

/// Cosine and sine of each pair at a position. The angle is a 32-bit float, as in the engines whose
/// models these are; only its sine and cosine are taken in more.
pub(crate) fn turns(frequencies: &[f32], magnitude: f32, position: usize) -> impl Iterator<Item = [f32; 2]> {
    frequencies.iter().map(move |frequency| {
        let (sine, cosine) = f64::from(frequency * position as f32).sin_cos();
        [cosine as f32 * magnitude, sine as f32 * magnitude]
    })
}

/// Rotates each head of one row.
pub(crate) fn plain(row: &mut [f32], head_dim: usize, pairing: RopePairing, turns: &[[f32; 2]]) {
    for head in row.chunks_mut(head_dim) {
        for (pair, [cosine, sine]) in turns.iter().enumerate() {
            let (first, second) = match pairing {
                RopePairing::Adjacent => (2 * pair, 2 * pair + 1),
                RopePairing::Halves => (pair, pair + turns.len()),
            };
            let (a, b) = (head[first], head[second]);
            head[first] = a * cosine - b * sine;
            head[second] = a * sine + b * cosine;
        }
    }
}

#[cfg(test)]
mod tests {
    use nearside_engine::graph::RopePairing;

    use super::{Params, plain, program, turns};
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    #[test]
    fn whole_and_partial_heads_turn_by_their_position() {
        each_gpu(|gpu| {
            for (rows, heads, head_dim, pairs) in [(1, 9, 64, 32), (3, 2, 24, 12), (17, 3, 96, 20)] {
                for pairing in [RopePairing::Adjacent, RopePairing::Halves] {
                    let mut random = Random::new(4);
                    let frequencies: Vec<f32> = (0..pairs).map(|pair| 0.9f32.powi(pair)).collect();
                    let stride = heads * head_dim + 32;
                    let input: Vec<_> = (0..rows).map(|_| random.floats(heads * head_dim)).collect();
                    let mut expected = input.clone();
                    let mut table = Vec::new();
                    for (row, values) in expected.iter_mut().enumerate() {
                        let turns: Vec<_> = turns(&frequencies, 1.25, 4000 + row).collect();
                        plain(values, head_dim, pairing, &turns);
                        // Another operation's table comes first.
                        table.extend([0.0; 6]);
                        table.extend(turns.concat());
                    }
                    let params = Params {
                        row_limit: 32,
                        heads: heads as u32,
                        head_dim: head_dim as u32,
                        pairs: pairs as u32,
                        pairing,
                        stride: stride as u32,
                        table_stride: pairs as u32 + 3,
                        table_offset: 3,
                    };
                    let mut run = Run::new(gpu, &program(), &params.words(), rows);
                    run.floats(&table);
                    let output = run.output(&matrix(&input, stride));
                    let found = run.go(params.grid()).floats(output);
                    close(&found, &matrix(&expected, stride), 1e-5, &format!("{rows} {pairing:?}"));
                }
            }
        });
    }
}
