//! Weight matrices, as the kernels read them.

mod float;
mod packed;
mod rooms;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use nearside_engine::backend::BackendError;
use nearside_gguf::{ByteSource, TensorInfo};

use crate::formats::Format;
use crate::memory::{out_of_memory, zeroed};
use crate::pool::Pool;
use crate::simd::{Isa, PANEL_ROWS};

pub(crate) use rooms::Rooms;

/// How much is read from the file between two reports of progress.
const CHUNK_BYTES: usize = 4 << 20;
/// Bytes of weights that are worth a part of their own when one row of inputs meets them.
const PART_BYTES: usize = 32 << 10;
/// Parts that one thread takes, so that a thread that comes late does not hold up the others.
const PARTS_PER_THREAD: usize = 4;

/// A matrix of `rows` output features by `columns` input features.
pub(crate) trait Matrix: Send + Sync {
    /// `outputs[r][f] = inputs[r] · self[f]` for the rows that `inputs` holds. Unless `rooms` was told otherwise
    /// these are the inputs of the product before, and need not be rounded again.
    fn multiply(&self, pool: &Pool, rooms: &mut Rooms, inputs: &[f32], outputs: &mut [f32])
    -> Result<(), BackendError>;

    /// One row as plain numbers.
    fn expand_row(&self, row: usize, values: &mut [f32]);

    /// Bytes held.
    fn bytes(&self) -> usize;
}

/// Told how many more bytes are in place; breaking cancels.
pub(crate) type Advance<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Rows, columns and the bytes of one row in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    rows: usize,
    columns: usize,
    pub(crate) row_bytes: usize,
}

impl Stored {
    /// How a tensor lies in the file, if its rows are whole blocks.
    pub(crate) fn of(tensor: &TensorInfo) -> Result<Self, BackendError> {
        let wrong = |problem: String| BackendError::Tensor { name: tensor.name.clone(), problem };
        let (elements, block) = (tensor.data_type.block_elements() as u64, tensor.data_type.block_bytes() as u64);
        if tensor.size == 0 {
            return Err(wrong("it has no elements".to_owned()));
        }
        if !tensor.columns().is_multiple_of(elements) {
            return Err(wrong(format!("rows of {} are not whole blocks of {elements}", tensor.columns())));
        }
        let row_bytes = (tensor.columns() / elements).checked_mul(block);
        if row_bytes.and_then(|bytes| bytes.checked_mul(tensor.rows())) != Some(tensor.size) {
            return Err(wrong(format!("{} bytes do not hold its elements", tensor.size)));
        }
        let size = |size: u64| {
            usize::try_from(size).map_err(|_| out_of_memory(tensor.size, format!("tensor `{}`", tensor.name)))
        };
        Ok(Self {
            rows: size(tensor.rows())?,
            columns: size(tensor.columns())?,
            row_bytes: size(row_bytes.unwrap_or(u64::MAX))?,
        })
    }
}

/// Reads a tensor into the layout for its format, a part at a time, so that it is never held twice.
pub(crate) fn read(
    pool: &Pool,
    tensor: &TensorInfo,
    bytes: &dyn ByteSource,
    advance: &mut Advance<'_>,
) -> Result<Box<dyn Matrix>, BackendError> {
    let stored = Stored::of(tensor)?;
    let isa = Isa::find();
    let mut source = Source { tensor, bytes, advance };
    match Format::of(tensor.data_type, isa) {
        Some(format) => Ok(Box::new(packed::Packed::read(pool, isa, stored, &format, &mut source)?)),
        None => Ok(Box::new(float::Floats::read(pool, isa, stored, &mut source)?)),
    }
}

/// A tensor's bytes in the file.
struct Source<'a, 'b> {
    tensor: &'a TensorInfo,
    bytes: &'a dyn ByteSource,
    advance: &'a mut Advance<'b>,
}

impl Source<'_, '_> {
    fn purpose(&self) -> String {
        format!("tensor `{}`", self.tensor.name)
    }

    /// Calls `take` with the number of a panel and the bytes of the rows of some panels from it on, until it
    /// had all of them.
    fn each_panels(&mut self, stored: Stored, mut take: impl FnMut(usize, &[u8])) -> Result<(), BackendError> {
        let panels = (CHUNK_BYTES / stored.row_bytes.saturating_mul(PANEL_ROWS).max(1)).max(1);
        let rows = panels.saturating_mul(PANEL_ROWS).min(stored.rows);
        let mut chunk = zeroed(rows.saturating_mul(stored.row_bytes), 0u8, || self.purpose())?;
        let mut first = 0;
        while first < stored.rows {
            let bytes = &mut chunk[..rows.min(stored.rows - first) * stored.row_bytes];
            self.bytes.read_at(self.tensor.offset + (first * stored.row_bytes) as u64, bytes)?;
            take(first / PANEL_ROWS, bytes);
            if (self.advance)(bytes.len() as u64).is_break() {
                return Err(BackendError::Cancelled);
            }
            first += rows;
        }
        Ok(())
    }
}

/// How many panels make a part when a product of so many panels of so many bytes is shared out.
fn panels_in_part(pool: &Pool, panels: usize, panel_bytes: usize) -> usize {
    let parts = (panels * panel_bytes / PART_BYTES).clamp(1, pool.threads() * PARTS_PER_THREAD);
    panels.div_ceil(parts).max(1)
}
