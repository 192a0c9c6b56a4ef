//! Looks tokens up in the embedding table as it is stored.

use super::{Access, ELEMENT_THREADS, Grid, Program};
use crate::quants::Packing;

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    pub(crate) units: u32,
    pub(crate) first_row: u32,
    pub(crate) piece_rows: u32,
    /// In vectors of four.
    pub(crate) stride: u32,
    pub(crate) scale: f32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.row_limit, self.units, self.first_row, self.piece_rows, self.stride, self.scale.to_bits()]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Elements { per_row: self.units * 4, threads: ELEMENT_THREADS }
    }
}

/// Bindings: quants, extras, tokens, result, output.
pub(crate) fn program(packing: &Packing) -> Program {
    use Access::{Read, Write};
    Program::new(
        "embed",
        &[packing.shader, include_str!("embed.wgsl")],
        &[("THREADS", ELEMENT_THREADS)],
        [(2, Read), (3, Read), (4, Read), (5, Read), (6, Write)],
    )
}

/// The rows of the tokens, scaled.
pub(crate) fn plain(table: &[Vec<f32>], tokens: &[u32], scale: f32) -> Vec<Vec<f32>> {
    tokens.iter().map(|token| table[*token as usize].iter().map(|value| value * scale).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Params, plain, program};
    use crate::testing::{Matrix, Run, each_gpu, matrix, packings};

    #[test]
    fn tokens_find_their_rows_in_whichever_piece() {
        for packing in packings() {
            let columns = packing.elements * 2;
            let table = Matrix::random(packing, 37, columns, 1);
            each_gpu(|gpu| {
                let tokens = [36, 0, 17];
                let expected = matrix(&plain(&table.rows, &tokens, 1.5), columns);
                let mut found = vec![0.0; expected.len()];
                // Rows 16 and up are a piece of their own.
                for (first, rows) in [(0, 16), (16, 21)] {
                    let piece = table.piece(first, rows);
                    let params = Params {
                        row_limit: 8,
                        units: packing.units(columns) as u32,
                        first_row: first as u32,
                        piece_rows: rows as u32,
                        stride: columns as u32 / 4,
                        scale: 1.5,
                    };
                    let mut run = Run::new(gpu, &program(packing), &params.words(), tokens.len());
                    run.words(&piece.quants).words(&piece.extras).words(&tokens).words(&[9]);
                    let output = run.output(&found);
                    found = run.go(params.grid()).floats(output);
                }
                crate::testing::close(&found, &expected, 1e-5, packing.data_type.name());
            });
        }
    }
}
