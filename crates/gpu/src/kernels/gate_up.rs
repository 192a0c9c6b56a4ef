//! A gated feed-forward's two products and its activation, for one token.

use nearside_engine::graph::Activation;

use super::matmul::Split;
use super::stage::Stage;
use super::{Access, Grid, Program, activation, reduce};
use crate::adapter::Tuning;
use crate::quants::Packing;

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    /// Units of 32 elements in a weight row.
    pub(crate) units: u32,
    /// Groups of 16 rows in each matrix.
    pub(crate) groups: u32,
    /// Rows of each matrix.
    pub(crate) rows: u32,
    /// Where the matrix begins that gates, in groups.
    pub(crate) first_gate: u32,
    /// Where the other one begins.
    pub(crate) first_up: u32,
    /// In vectors of four.
    pub(crate) input_stride: u32,
    pub(crate) output_stride: u32,
    pub(crate) gate_scale: f32,
    pub(crate) up_scale: f32,
}

/// An invocation takes its rows of both matrices.
pub(crate) fn split(units: u32, tuning: &Tuning) -> Split {
    let split = Split::single(units, tuning);
    Split { rows: (split.rows / 2).max(1), ..split }
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![
            self.row_limit,
            self.units,
            self.groups,
            self.rows,
            self.first_gate,
            self.first_up,
            self.input_stride,
            self.output_stride,
            self.gate_scale.to_bits(),
            self.up_scale.to_bits(),
        ]
    }

    pub(crate) fn grid(&self, split: Split) -> Grid {
        Grid::Tiles { per_tile: self.groups.div_ceil(split.groups()), rows: 1 }
    }
}

/// Bindings: quants, extras, input, output.
pub(crate) fn program(packing: &Packing, activation: Activation, split: Split) -> Program {
    use Access::{Read, Write};
    let Stage { mut definitions, decoders, shared } = Stage::new(&[packing], 1, split.packed);
    definitions.extend(split.definitions(1));
    definitions.push(activation::definition(activation));
    let own = [activation::ACTIVATION, reduce::SLICES, include_str!("gate_up.wgsl")];
    let parts: Vec<&str> = decoders.iter().map(String::as_str).chain(shared).chain(own).collect();
    Program::new("gate_up", &parts, &definitions, [(2, Read), (3, Read), (4, Read), (5, Write)])
}

#[cfg(test)]
mod tests {
    use nearside_engine::graph::Activation;

    use super::{Params, program};
    use crate::kernels::matmul::{self, Split};
    use crate::kernels::pair::Pair;
    use crate::kernels::round;
    use crate::testing::{Gpu, Matrix, Random, Run, close, each_gpu, matrix, packings};

    fn check(gpu: &Gpu, both: &Matrix, activation: Activation, split: Split) {
        let rows = both.rows.len() / 2;
        let input = Random::new(12).floats(both.columns);
        let rounded = round::plain_for(both.packing, &input);
        let product = |rows: &[Vec<f32>], scale| matmul::plain(rows, &rounded, scale, None, None);
        let gates = product(&both.rows[..rows], 0.5);
        let ups = product(&both.rows[rows..], 2.0);
        let expected = Pair::Gated(activation).plain(&gates, &ups);
        let (input_stride, stride) = (both.columns.next_multiple_of(32), rows.next_multiple_of(32));
        let piece = both.piece(0, rows * 2);
        let params = Params {
            row_limit: 8,
            units: both.packing.units(both.columns) as u32,
            groups: rows as u32 / 16,
            rows: rows as u32,
            first_gate: 0,
            first_up: rows as u32 / 16,
            input_stride: input_stride as u32 / 4,
            output_stride: stride as u32,
            gate_scale: 0.5,
            up_scale: 2.0,
        };
        let mut run = Run::new(gpu, &program(both.packing, activation, split), &params.words(), 1);
        run.words(&piece.quants).words(&piece.extras).floats(&matrix(std::slice::from_ref(&input), input_stride));
        let output = run.output(&vec![0.0; stride]);
        let found = run.go(params.grid(split)).floats(output);
        let what = format!("{} {split:?} {activation:?}", both.packing.data_type.name());
        close(&found, &matrix(&[expected], stride), 1e-3, &what);
    }

    #[test]
    fn both_products_meet_in_the_activation() {
        // One format of each kind of planes.
        for packing in packings().step_by(4) {
            let both = Matrix::random(packing, 576, packing.elements * 3, 15);
            each_gpu(|gpu| {
                for packed in [false, gpu.facts.packed_dots] {
                    check(gpu, &both, Activation::Silu, Split { rows: 2, slices: 1, packed });
                    check(gpu, &both, Activation::GeluTanh, Split { rows: 1, slices: 4, packed });
                }
            });
        }
    }
}
