//! Products with a weight, and what adapters add to them.

use nearside_engine::backend::BackendError;
use nearside_engine::graph::{Op, Slot, Weight};

use super::fusion::replaces;
use super::{ByRows, Call, Packed, Planned, Planner, stride, unsupported};
use crate::binding::{MatrixId, Source};
use crate::kernels::matmul::{self, Residual, Shape};
use crate::kernels::pack;
use crate::quants::UNIT;
use crate::weights::Matrix;

/// Which of a product's sources its input is.
const INPUT: usize = 2;

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
        let (input, output) = (self.rows(input), self.rows(output));
        self.product(&Product {
            matrix: self.matrix(weight)?,
            id: MatrixId::Weight(weight.0),
            bias,
            scale,
            residual: residual.map(|slot| self.rows(slot)),
            input,
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
                    output: narrow,
                })?;
                self.product(&Product {
                    matrix: &change.up,
                    id: MatrixId::Up { adapter, part },
                    bias: None,
                    scale: scale * factor,
                    residual: Some(output),
                    input: narrow,
                    output,
                })?;
            }
        }
        Ok(())
    }

    /// Whether rows lie packed, as they are now.
    fn lies_packed(&self, rows: Rows, block: usize) -> bool {
        self.packed.is_some_and(|packed| {
            let since = self.graph.ops.get(packed.from..self.at).unwrap_or_default();
            let same = rows.source == Source::Slot(packed.slot.0) && packed.block == block;
            same && !since.iter().any(|op| writes(op, packed.slot))
        })
    }

    /// What packs rows, which lie so from now on.
    fn pack(&mut self, rows: Rows, block: usize) -> Call {
        self.packed = match rows.source {
            Source::Slot(slot) => Some(Packed { slot: Slot(slot), block, from: self.at }),
            _ => None,
        };
        let stride = stride(rows.width);
        let params =
            pack::Params { row_limit: self.row_limit(), units: (stride / UNIT) as u32, stride: stride as u32 / 4 };
        Call {
            program: pack::program(block),
            params: params.words(),
            sources: vec![rows.source, Source::Packed],
            grid: params.grid(),
        }
    }

    fn product(&mut self, product: &Product<'_>) -> Result<(), BackendError> {
        let Product { matrix, id, bias, scale, residual, input, output } = *product;
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
        let rows = matrix.pieces.iter().map(|piece| piece.rows).sum();
        let shapes = (Shape::single(units as u32, &self.tuning), Shape::many(packing, rows, &self.tuning));
        let packed = shapes.1.packed(packing).filter(|_| self.several_rows());
        let mut before = packed.and_then(|block| (!self.lies_packed(input, block)).then(|| self.pack(input, block)));
        for (index, piece) in matrix.pieces.iter().enumerate() {
            let mut params = matmul::Params {
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
            let call = |params: &matmul::Params, sources: &[Source], shape: Shape| Call {
                program: matmul::program(packing, shape, bias.is_some(), added),
                params: params.words(),
                sources: sources.to_vec(),
                grid: shape.grid(params),
            };
            let few = Shape::few(units as u32, &self.tuning).filter(|_| self.several_rows());
            let few = few.map(|shape| call(&params, &sources, shape)).into_iter().collect();
            let single = vec![call(&params, &sources, shapes.0)];
            if packed.is_some() {
                params.input_stride = (stride(input.width) / UNIT) as u32;
                sources[INPUT] = Source::Packed;
            }
            let many = self.several_rows().then(|| call(&params, &sources, shapes.1));
            let many = before.take().into_iter().chain(many).collect();
            self.plan.calls.push(Planned { phase: self.phase, calls: ByRows { single, few, many } });
        }
        Ok(())
    }
}

/// Whether an operation changes a slot.
fn writes(op: &Op, slot: Slot) -> bool {
    match op {
        Op::Rope { slot: turned, .. } => *turned == slot,
        Op::LastRows { output, .. } => *output == slot,
        _ => replaces(op, slot),
    }
}
