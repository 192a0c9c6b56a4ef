//! Products with a weight, and what adapters add to them.

use nearside_engine::backend::BackendError;
use nearside_engine::graph::{Slot, Weight};

use super::{ByRows, Call, Planned, Planner, stride, unsupported};
use crate::binding::{MatrixId, Source};
use crate::kernels::matmul::{self, Residual, Shape};
use crate::quants::UNIT;
use crate::weights::Matrix;

/// Rows of activations.
#[derive(Clone, Copy)]
struct Rows {
    source: Source,
    width: usize,
}

/// One product of rows and a matrix.
struct Product<'a> {
    matrix: &'a Matrix,
    id: MatrixId,
    bias: Option<Weight>,
    scale: f32,
    residual: Option<Rows>,
    input: Rows,
    /// Where the largest magnitudes of the input's blocks are, if one token's input is rounded here.
    peaks: Option<u32>,
    output: Rows,
}

impl Planner<'_> {
    fn rows(&self, slot: Slot) -> Rows {
        Rows { source: Source::Slot(slot.0), width: self.width(slot) }
    }

    pub(super) fn matmul(
        &mut self,
        weight: Weight,
        bias: Option<Weight>,
        scale: f32,
        residual: Option<Slot>,
        input: Slot,
        output: Slot,
    ) -> Result<(), BackendError> {
        let peaks = self.unrounded.filter(|(slot, _)| *slot == input).map(|(_, peaks)| peaks);
        let (input, output) = (self.rows(input), self.rows(output));
        self.product(&Product {
            matrix: self.matrix(weight)?,
            id: MatrixId::Weight(weight.0),
            bias,
            scale,
            residual: residual.map(|slot| self.rows(slot)),
            input,
            peaks,
            output,
        })?;
        let adapters = self.adapters;
        for &(adapter, factor) in &adapters.active {
            let parts = adapters.parts(adapter).unwrap_or_default().iter().enumerate();
            for (part, change) in parts.filter(|(_, change)| change.weight == weight.0) {
                let narrow = Rows { source: Source::Narrow, width: change.rank };
                self.product(&Product {
                    matrix: &change.down,
                    id: MatrixId::Down { adapter, part },
                    bias: None,
                    scale: 1.0,
                    residual: None,
                    input,
                    peaks: None,
                    output: narrow,
                })?;
                self.product(&Product {
                    matrix: &change.up,
                    id: MatrixId::Up { adapter, part },
                    bias: None,
                    scale: scale * factor,
                    residual: Some(output),
                    input: narrow,
                    peaks: None,
                    output,
                })?;
            }
        }
        Ok(())
    }

    fn product(&mut self, product: &Product<'_>) -> Result<(), BackendError> {
        let Product { matrix, id, bias, scale, residual, input, peaks, output } = *product;
        let packing = matrix.packing;
        let units = packing.units(matrix.columns);
        if stride(input.width) < units * UNIT {
            return Err(unsupported(format!("a matrix with more columns than its input ({})", input.width)));
        }
        let added = match residual {
            None => Residual::None,
            Some(rows) if rows.source == output.source => Residual::Output,
            Some(_) => Residual::Separate,
        };
        let shapes = (Shape::single(units as u32, &self.tuning), Shape::many(packing, &self.tuning));
        for (index, piece) in matrix.pieces.iter().enumerate() {
            let params = matmul::Params {
                row_limit: self.row_limit(),
                units: units as u32,
                groups: piece.rows.div_ceil(16) as u32,
                rows: piece.rows as u32,
                first_row: piece.first_row as u32,
                input_stride: stride(input.width) as u32 / 4,
                output_stride: stride(output.width) as u32,
                residual_stride: residual.map_or(0, |rows| stride(rows.width) as u32),
                scale,
                first_group: piece.first_group as u32,
                peaks: peaks.unwrap_or(0),
            };
            let mut sources = vec![
                Source::Quants { matrix: id, piece: index },
                Source::Extras { matrix: id, piece: index },
                input.source,
                output.source,
            ];
            sources.extend(bias.map(|bias| Source::Vector(bias.0)));
            if let (Residual::Separate, Some(rows)) = (added, residual) {
                sources.push(rows.source);
            }
            let call = |shape: Shape, round: bool| Call {
                program: matmul::program(packing, shape, bias.is_some(), added, round),
                params: params.words(),
                sources: sources.iter().copied().chain(round.then_some(Source::Peaks)).collect(),
                grid: shape.grid(&params),
            };
            let few = Shape::few(units as u32, &self.tuning).filter(|_| self.several_rows());
            let few = few.map(|shape| call(shape, false)).into_iter().collect();
            let many = self.several_rows().then(|| call(shapes.1, false)).into_iter().collect();
            let single = vec![call(shapes.0, peaks.is_some())];
            self.plan.calls.push(Planned { phase: self.phase, calls: ByRows { single, few, many } });
        }
        Ok(())
    }
}
