//! Products with a weight, and what adapters add to them.

use nearside_engine::backend::BackendError;
use nearside_engine::graph::{Op, Slot, Weight};

use super::fusion::replaces;
use super::{ByRows, Call, Packed, Phase, Planned, Planner, rounding, stride, unsupported};
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

impl Rows {
    fn slot(self) -> Option<Slot> {
        match self.source {
            Source::Slot(slot) => Some(Slot(slot)),
            _ => None,
        }
    }
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

    /// Whether many rows of a slot are packed before they are multiplied with a matrix.
    fn packs(&self, matrix: &Matrix, slot: Slot) -> bool {
        self.tuning.tiles.is_some_and(|tiles| tiles.packed.is_some())
            && matches!(self.phase, Phase::Body | Phase::Tail)
            && matrix.packing.levels.is_some()
            && matrix.columns == self.width(slot)
    }

    /// Whether nothing but such products reads a slot before these operations replace it.
    pub(super) fn packs_all(&self, slot: Slot, rest: &[Op]) -> bool {
        let packs = |weight| self.matrix(weight).is_ok_and(|matrix| self.packs(matrix, slot));
        rounding::rounds(self.graph, slot, rest, packs)
    }

    /// Whether a slot lies packed, as it is now.
    fn lies_packed(&self, slot: Slot, block: usize) -> bool {
        self.packed.is_some_and(|packed| {
            let since = self.graph.ops.get(packed.from..self.at).unwrap_or_default();
            packed.slot == slot && packed.block == block && !since.iter().any(|op| writes(op, slot))
        })
    }

    /// What packs many rows of a slot, which lie so from an operation on.
    pub(super) fn pack(&mut self, slot: Slot, block: usize, from: usize) -> Call {
        self.packed = Some(Packed { slot, block, from });
        let units = self.stride(slot) / UNIT as u32;
        let params = pack::Params { row_limit: self.row_limit(), units, stride: self.stride(slot) / 4 };
        Call {
            program: pack::program(block),
            params: params.words(),
            sources: vec![Source::Slot(slot.0), Source::Packed],
            grid: params.grid(),
        }
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
        let packs = input.slot().filter(|slot| self.packs(matrix, *slot));
        let shapes = (Shape::single(units as u32, &self.tuning), Shape::many(packing, packs.is_some(), &self.tuning));
        let mut before = packs.and_then(|slot| {
            let block = pack::block(packing);
            (!self.lies_packed(slot, block)).then(|| self.pack(slot, block, self.at))
        });
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
            let call = |params: &matmul::Params, sources: &[Source], shape: Shape, round: bool| Call {
                program: matmul::program(packing, shape, bias.is_some(), added, round),
                params: params.words(),
                sources: sources.iter().copied().chain(round.then_some(Source::Peaks)).collect(),
                grid: shape.grid(params),
            };
            let few = Shape::few(units as u32, &self.tuning).filter(|_| self.several_rows());
            let few = few.map(|shape| call(&params, &sources, shape, false)).into_iter().collect();
            let single = vec![call(&params, &sources, shapes.0, peaks.is_some())];
            if shapes.1.packed() {
                params.input_stride = units as u32;
                sources[INPUT] = Source::Packed;
            }
            let many = self.several_rows().then(|| call(&params, &sources, shapes.1, false));
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
