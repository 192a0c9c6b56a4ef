//! Buffers for weights, before anything is read.

use nearside_engine::backend::BackendError;
use nearside_gguf::TensorInfo;
use wgpu::Buffer;

use crate::adapter::Gpu;
use crate::allocation::{ALIGNMENT, Allocations, STORAGE};
use crate::plan::blocks::Members;
use crate::quants::{LANES, Packing};
use crate::weights::{Matrix, Piece};

/// Makes buffers for weights.
pub(crate) struct Room<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) allocations: &'a mut Allocations,
    /// What they hold of weights.
    pub(crate) bytes: u64,
}

impl Room<'_> {
    /// Room for a matrix, in as many pieces as it takes.
    pub(crate) async fn matrix(
        &mut self,
        tensor: &TensorInfo,
        packing: &'static Packing,
    ) -> Result<Matrix, BackendError> {
        let (rows, columns) = (tensor.rows() as usize, tensor.columns() as usize);
        let rows_per_piece = rows_per_piece(self.gpu, packing, columns, &tensor.name)?;
        let mut matrix = Matrix { packing, columns, pieces: Vec::new() };
        let mut first_row = 0;
        while first_row < rows {
            let piece_rows = rows_per_piece.min(rows - first_row);
            let piece = self.piece(tensor, packing, piece_rows.div_ceil(LANES)).await?;
            matrix.pieces.push(Piece { first_row, rows: piece_rows, ..piece });
            first_row += piece_rows;
        }
        Ok(matrix)
    }

    /// Room for several matrices in one buffer, if they are alike and it is large enough.
    pub(crate) async fn stack(
        &mut self,
        stack: &[&TensorInfo],
        packing: &'static Packing,
    ) -> Result<Option<Vec<Matrix>>, BackendError> {
        let Some(first) = stack.first() else { return Ok(None) };
        let columns = first.columns() as usize;
        let alike = stack.iter().all(|tensor| {
            let whole = (tensor.rows() as usize).is_multiple_of(LANES);
            tensor.data_type == first.data_type && tensor.columns() == first.columns() && whole
        });
        let rows: usize = stack.iter().map(|tensor| tensor.rows() as usize).sum();
        let most = rows_per_piece(self.gpu, packing, columns, &first.name)?;
        if !alike || rows > most {
            return Ok(None);
        }
        let room = self.piece(first, packing, rows / LANES).await?;
        let mut first_group = 0;
        let matrices = stack.iter().map(|tensor| {
            let rows = tensor.rows() as usize;
            let piece = Piece { rows, first_group, ..room.clone() };
            first_group += rows / LANES;
            Matrix { packing, columns, pieces: vec![piece] }
        });
        Ok(Some(matrices.collect()))
    }

    /// A buffer for some groups of rows.
    async fn piece(&mut self, tensor: &TensorInfo, packing: &Packing, groups: usize) -> Result<Piece, BackendError> {
        let (quants, extras) = packing.group_bytes(tensor.columns() as usize);
        let quant_bytes = groups as u64 * quants as u64;
        let extra_bytes = packing.table_bytes() + groups as u64 * extras as u64;
        let extras_offset = quant_bytes.next_multiple_of(ALIGNMENT);
        let buffer = self.buffer(extras_offset + extra_bytes, tensor).await?;
        self.bytes += quant_bytes + extra_bytes;
        Ok(Piece { buffer, first_row: 0, rows: 0, first_group: 0, quant_bytes, extras_offset, extra_bytes })
    }

    /// A buffer for plain floats.
    pub(crate) async fn vector(&mut self, tensor: &TensorInfo) -> Result<Buffer, BackendError> {
        let size = tensor.rows().saturating_mul(tensor.columns()).saturating_mul(4);
        let buffer = self.buffer(size, tensor).await?;
        self.bytes += buffer.size();
        Ok(buffer)
    }

    /// A buffer for some vectors side by side.
    pub(crate) async fn joined(&mut self, members: &Members) -> Result<Buffer, BackendError> {
        let size: usize = members.iter().map(|member| member.1 * 4).sum();
        let buffer = self.allocations.buffer(self.gpu, size as u64, STORAGE, "small tensors side by side").await?;
        self.bytes += buffer.size();
        Ok(buffer)
    }

    async fn buffer(&mut self, size: u64, tensor: &TensorInfo) -> Result<Buffer, BackendError> {
        self.allocations.buffer(self.gpu, size, STORAGE, &format!("tensor `{}`", tensor.name)).await
    }
}

/// How many rows of a matrix fit a buffer and a binding, in whole groups.
pub(crate) fn rows_per_piece(gpu: &Gpu, packing: &Packing, columns: usize, name: &str) -> Result<usize, BackendError> {
    let facts = &gpu.facts;
    let (quants, extras) = packing.group_bytes(columns);
    let spare = facts.max_storage_binding_size.saturating_sub(packing.table_bytes());
    let by_binding = spare / quants.max(extras).max(1) as u64;
    let spare = facts.max_buffer_size.saturating_sub(ALIGNMENT + packing.table_bytes());
    let by_buffer = spare / (quants + extras).max(1) as u64;
    match by_binding.min(by_buffer) {
        0 => Err(BackendError::Unsupported {
            what: format!("a row of {columns} elements (tensor `{name}`)"),
            backend: "GPU",
            remedy: "use the CPU backend",
        }),
        groups => Ok(usize::try_from(groups).unwrap_or(usize::MAX).saturating_mul(LANES)),
    }
}
