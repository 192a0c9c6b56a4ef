//! Adapters: low-rank changes of some weights, held beside them and added to their products.

use nearside_engine::backend::{BackendError, LowRank};
use nearside_engine::graph::{Graph, Op};
use nearside_gguf::DataType;
use wgpu::Buffer;

use crate::adapter::Gpu;
use crate::allocation::{ALIGNMENT, Allocations, STORAGE, Verdict};
use crate::quants::{LANES, Packing, Planes, packing};
use crate::room::rows_per_piece;
use crate::weights::{Matrix, Piece};

/// The change of one weight.
pub(crate) struct Part {
    pub(crate) weight: usize,
    pub(crate) rank: usize,
    /// What narrows: `rank` rows.
    pub(crate) down: Matrix,
    /// What widens again: `rank` columns.
    pub(crate) up: Matrix,
}

/// The parts of one adapter.
pub(crate) struct Adapter {
    parts: Vec<Part>,
    allocations: Allocations,
}

/// Those that are held, and those of them that change the products.
#[derive(Default)]
pub(crate) struct Adapters {
    held: Vec<Option<Adapter>>,
    /// Each with its factor.
    pub(crate) active: Vec<(usize, f32)>,
    /// Room for a step's narrowed inputs.
    pub(crate) narrow: Option<Buffer>,
    /// Owns that.
    pub(crate) narrow_allocations: Option<Allocations>,
}

impl Adapters {
    /// A part of a held adapter.
    pub(crate) fn part(&self, adapter: usize, part: usize) -> Option<&Part> {
        self.held.get(adapter)?.as_ref()?.parts.get(part)
    }

    /// The parts of an adapter that is held.
    pub(crate) fn parts(&self, adapter: usize) -> Option<&[Part]> {
        Some(&self.held.get(adapter)?.as_ref()?.parts)
    }

    /// Keeps an adapter and numbers it. Numbers are not used again, so that an old one finds nothing.
    pub(crate) fn keep(&mut self, adapter: Adapter) -> usize {
        self.held.push(Some(adapter));
        self.held.len() - 1
    }

    /// Lets an adapter go.
    pub(crate) fn remove(&mut self, adapter: usize) {
        if let Some(held) = self.held.get_mut(adapter) {
            *held = None;
        }
    }

    /// The highest rank among those that change the products.
    pub(crate) fn rank(&self) -> usize {
        let active = self.active.iter().filter_map(|(adapter, _)| self.parts(*adapter));
        active.flatten().map(|part| part.rank).max().unwrap_or(0)
    }
}

fn wrong(problem: String) -> BackendError {
    BackendError::InvalidStep { problem }
}

impl Adapter {
    /// None yet.
    pub(crate) fn new(gpu: &Gpu) -> Self {
        Self { parts: Vec::new(), allocations: Allocations::new(gpu) }
    }

    /// How many buffers there are.
    pub(crate) fn buffers(&self) -> usize {
        self.allocations.count()
    }

    /// Checks and uploads one part.
    pub(crate) fn add(
        &mut self,
        gpu: &Gpu,
        graph: &Graph,
        part: &LowRank,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<(), BackendError> {
        let index = part.weight.0;
        let Some(spec) = graph.weights.get(index) else {
            return Err(wrong(format!("the model has no weight {index}, which the adapter changes")));
        };
        let name = &spec.name;
        if !graph.ops.iter().any(|op| matches!(op, Op::MatMul { weight, .. } if weight.0 == index)) {
            return Err(wrong(format!("`{name}` is not multiplied with anything, so an adapter cannot change it")));
        }
        if self.parts.iter().any(|part| part.weight == index) {
            return Err(wrong(format!("the adapter changes `{name}` twice")));
        }
        let sizes = (part.rank.checked_mul(spec.columns), part.rank.checked_mul(spec.rows));
        if part.rank == 0 || sizes != (Some(part.down.len()), Some(part.up.len())) {
            let (rank, down, up) = (part.rank, part.down.len(), part.up.len());
            return Err(wrong(format!(
                "the adapter's change of `{name}` has rank {rank} with {down} and {up} elements, which do not fit {} by {}",
                spec.rows, spec.columns
            )));
        }
        let packing = packing(DataType::F32).ok_or_else(|| wrong("there are no plain floats".to_owned()))?;
        let down = self.upload(gpu, packing, &part.down, spec.columns, name, verdicts)?;
        let up = self.upload(gpu, packing, &part.up, part.rank, name, verdicts)?;
        self.parts.push(Part { weight: index, rank: part.rank, down, up });
        // What was written leaves this side's memory with the next submission.
        gpu.queue.submit([]);
        Ok(())
    }

    fn upload(
        &mut self,
        gpu: &Gpu,
        packing: &'static Packing,
        values: &[f32],
        columns: usize,
        name: &str,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<Matrix, BackendError> {
        let purpose = format!("an adapter's change of `{name}`");
        let most = rows_per_piece(gpu, packing, columns, name)?;
        let mut matrix = Matrix { packing, columns, pieces: Vec::new() };
        let mut planes = Planes::default();
        for (index, rows) in values.chunks(most.saturating_mul(columns)).enumerate() {
            packing.pack_rows(bytemuck::cast_slice(rows), columns, &mut planes);
            let quant_bytes = planes.quants.len() as u64 * 4;
            let (buffer, verdict) = self.allocations.start(gpu, quant_bytes, STORAGE, &purpose);
            verdicts.push(verdict);
            gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&planes.quants));
            matrix.pieces.push(Piece {
                buffer,
                first_row: index * most,
                rows: rows.len() / columns,
                first_group: 0,
                quant_bytes,
                extras_offset: quant_bytes.next_multiple_of(ALIGNMENT),
                extra_bytes: 0,
            });
        }
        debug_assert!(matrix.pieces.iter().all(|piece| piece.first_row % LANES == 0));
        Ok(matrix)
    }
}
