//! A weight matrix in the format of its file.

use std::ops::ControlFlow;

use candle_core::quantized::k_quants::{BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4K, BlockQ5K, BlockQ6K, BlockQ8_0};
use half::{bf16, f16};
use nearside_engine::backend::BackendError;
use nearside_gguf::{ByteSource, DataType, TensorInfo};

use crate::formats::{Format, Q4_1, Q5_0, Q5_1};
use crate::memory::{out_of_memory, zeroed};
use crate::pool::Pool;
use crate::simd::bytes_mut;

/// How much is read from the file between two reports of progress.
const CHUNK_BYTES: usize = 4 << 20;
/// Rows of inputs that stay in the nearest cache while rows of weights stream past.
const INPUT_TILE: usize = 16;
/// Weight rows that one task multiplies.
const TASK_ROWS: usize = 32;

/// A matrix of `rows` output features by `columns` input features.
pub(crate) trait Matrix: Send + Sync {
    /// `outputs[r][f] = inputs[r] · self[f]` for the rows that `inputs` holds.
    fn multiply(&self, pool: &Pool, inputs: &[f32], outputs: &mut [f32]) -> Result<(), BackendError>;

    /// One row as plain numbers.
    fn expand_row(&self, row: usize, values: &mut [f32]);
}

/// Told how many more bytes are in place; breaking cancels.
pub(crate) type Advance<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Reads a tensor into the blocks of its own format.
pub(crate) fn read(
    tensor: &TensorInfo,
    bytes: &dyn ByteSource,
    advance: &mut Advance<'_>,
) -> Result<Box<dyn Matrix>, BackendError> {
    match tensor.data_type {
        DataType::F32 => blocks::<f32>(tensor, bytes, advance),
        DataType::F16 => blocks::<f16>(tensor, bytes, advance),
        DataType::Bf16 => blocks::<bf16>(tensor, bytes, advance),
        DataType::Q4_0 => blocks::<BlockQ4_0>(tensor, bytes, advance),
        DataType::Q4_1 => blocks::<Q4_1>(tensor, bytes, advance),
        DataType::Q5_0 => blocks::<Q5_0>(tensor, bytes, advance),
        DataType::Q5_1 => blocks::<Q5_1>(tensor, bytes, advance),
        DataType::Q8_0 => blocks::<BlockQ8_0>(tensor, bytes, advance),
        DataType::Q2K => blocks::<BlockQ2K>(tensor, bytes, advance),
        DataType::Q3K => blocks::<BlockQ3K>(tensor, bytes, advance),
        DataType::Q4K => blocks::<BlockQ4K>(tensor, bytes, advance),
        DataType::Q5K => blocks::<BlockQ5K>(tensor, bytes, advance),
        DataType::Q6K => blocks::<BlockQ6K>(tensor, bytes, advance),
        DataType::Iq2Xxs | DataType::Iq4Nl | DataType::Iq4Xs => Err(BackendError::Unsupported {
            what: format!("the format {} of tensor `{}`", tensor.data_type.name(), tensor.name),
            backend: "CPU",
            remedy: "choose a file in another quantization, such as Q4_K_M",
        }),
    }
}

struct Blocks<F> {
    stored: Vec<F>,
    columns: usize,
    rows: usize,
}

fn blocks<F: Format>(
    tensor: &TensorInfo,
    bytes: &dyn ByteSource,
    advance: &mut Advance<'_>,
) -> Result<Box<dyn Matrix>, BackendError> {
    let elements = F::DATA_TYPE.block_elements() as u64;
    let wrong = |problem: String| BackendError::Tensor { name: tensor.name.clone(), problem };
    if !tensor.columns().is_multiple_of(elements) {
        return Err(wrong(format!("rows of {} are not whole blocks of {elements}", tensor.columns())));
    }
    let count = tensor.size / F::DATA_TYPE.block_bytes() as u64;
    if tensor.columns().checked_mul(tensor.rows()) != count.checked_mul(elements) {
        return Err(wrong(format!("{} bytes do not hold its elements", tensor.size)));
    }
    let purpose = || format!("tensor `{}`", tensor.name);
    let count = usize::try_from(count).map_err(|_| out_of_memory(tensor.size, purpose()))?;
    let mut stored = zeroed(count, F::zero(), purpose)?;
    let mut offset = tensor.offset;
    for chunk in bytes_mut(&mut stored).chunks_mut(CHUNK_BYTES) {
        bytes.read_at(offset, chunk)?;
        offset += chunk.len() as u64;
        if advance(chunk.len() as u64).is_break() {
            return Err(BackendError::Cancelled);
        }
    }
    // Both fit: their product was just allocated.
    Ok(Box::new(Blocks { stored, columns: tensor.columns() as usize, rows: tensor.rows() as usize }))
}

impl<F: Format> Blocks<F> {
    fn row_blocks(&self) -> usize {
        self.columns / F::DATA_TYPE.block_elements()
    }

    fn row(&self, row: usize) -> &[F] {
        let length = self.row_blocks();
        &self.stored[row * length..][..length]
    }
}

impl<F: Format> Matrix for Blocks<F> {
    fn multiply(&self, pool: &Pool, inputs: &[f32], outputs: &mut [f32]) -> Result<(), BackendError> {
        let length = self.row_blocks();
        let input_rows = inputs.len() / self.columns;
        let mut prepared = zeroed(input_rows * length, F::zero_input(), || "a step's inputs".to_owned())?;
        F::prepare(inputs, &mut prepared);
        if input_rows == 1 {
            pool.for_each_chunk(outputs, TASK_ROWS, &|task, outputs| {
                for (index, output) in outputs.iter_mut().enumerate() {
                    *output = F::dot(self.row(task * TASK_ROWS + index), &prepared);
                }
            });
            return Ok(());
        }
        // Feature by feature, so that each task writes one stretch of memory; turned afterwards.
        let mut turned = zeroed(outputs.len(), 0.0, || "a step's products".to_owned())?;
        pool.for_each_chunk(&mut turned, TASK_ROWS * input_rows, &|task, turned| {
            for tile in (0..input_rows).step_by(INPUT_TILE) {
                for (index, products) in turned.chunks_mut(input_rows).enumerate() {
                    let weights = self.row(task * TASK_ROWS + index);
                    let end = input_rows.min(tile + INPUT_TILE);
                    F::dot_rows(weights, &prepared[tile * length..end * length], &mut products[tile..end]);
                }
            }
        });
        pool.for_each_chunk(outputs, self.rows, &|row, outputs| {
            for (feature, output) in outputs.iter_mut().enumerate() {
                *output = turned[feature * input_rows + row];
            }
        });
        Ok(())
    }

    fn expand_row(&self, row: usize, values: &mut [f32]) {
        F::expand(self.row(row), values);
    }
}
