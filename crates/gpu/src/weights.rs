//! Weights go from the file to the device a few rows at a time.

use std::ops::ControlFlow;

use nearside_engine::backend::{BackendError, LoadProgress, WeightFile};
use nearside_engine::graph::{Graph, Op, WeightSpec};
use nearside_gguf::{Gguf, TensorInfo};
use wgpu::Buffer;

use crate::adapter::Gpu;
use crate::allocation::Allocations;
use crate::plan::blocks::{Block, Members};
use crate::quants::{LANES, Packing, Planes, packing};
use crate::readback;
use crate::room::Room;

/// The most of the file held at once; a wider group of rows is read whole.
const CHUNK: usize = 4 << 20;

/// What may be on its way to the device before the upload waits for it.
const IN_FLIGHT: u64 = 64 << 20;

/// Some rows of a matrix in a buffer, which matrices that are always read together share.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) buffer: Buffer,
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    /// Where they begin in the buffer's planes, in groups.
    pub(crate) first_group: usize,
    /// Bytes of the buffer's quants.
    pub(crate) quant_bytes: u64,
    pub(crate) extras_offset: u64,
    /// Bytes of the buffer's extras.
    pub(crate) extra_bytes: u64,
}

/// A matrix as the kernels read it.
pub(crate) struct Matrix {
    pub(crate) packing: &'static Packing,
    pub(crate) columns: usize,
    pub(crate) pieces: Vec<Piece>,
}

/// Vectors side by side.
pub(crate) struct Joined {
    members: Members,
    pub(crate) buffer: Buffer,
}

/// A graph's weights, by their index, in the forms that its operations need.
#[derive(Default)]
pub(crate) struct Weights {
    pub(crate) matrices: Vec<Option<Matrix>>,
    pub(crate) vectors: Vec<Option<Buffer>>,
    /// Those that one token reads together, once more.
    pub(crate) joined: Vec<Joined>,
    pub(crate) bytes: u64,
}

impl Weights {
    /// Makes room for everything that the graph uses.
    pub(crate) async fn room(
        gpu: &Gpu,
        graph: &Graph,
        table: &Gguf,
        allocations: &mut Allocations,
    ) -> Result<Self, BackendError> {
        let tensors = find_tensors(graph, table)?;
        let (as_matrix, as_vector) = uses(graph);
        let stacks = stacks(graph, &tensors);
        let mut room = Room { gpu, allocations, bytes: 0 };
        let mut weights = Self::default();
        weights.matrices.resize_with(tensors.len(), || None);
        for (index, (spec, tensor)) in graph.weights.iter().zip(&tensors).enumerate() {
            let packing = packing(tensor.data_type).ok_or_else(|| BackendError::Unsupported {
                what: format!("{} (tensor `{}`)", tensor.data_type.name(), spec.name),
                backend: "GPU",
                remedy: "use the CPU backend or another quantization of the model",
            })?;
            if as_matrix[index] && weights.matrices[index].is_none() {
                let stack = stacks.iter().find(|stack| stack.contains(&index));
                let members: Vec<_> = stack.into_iter().flatten().map(|member| tensors[*member]).collect();
                if let (Some(stack), Some(stacked)) = (stack, room.stack(&members, packing).await?) {
                    for (member, matrix) in stack.iter().zip(stacked) {
                        weights.matrices[*member] = Some(matrix);
                    }
                } else {
                    weights.matrices[index] = Some(room.matrix(tensor, packing).await?);
                }
            }
            weights.vectors.push(if as_vector[index] { Some(room.vector(tensor).await?) } else { None });
        }
        for block in Block::all(graph) {
            let layout = block.layout(|weight| tensors[weight.0].data_type);
            for members in [block.biases(&layout), block.norm_weights()].into_iter().flatten() {
                if weights.joined(&members).is_none() {
                    let buffer = room.joined(&members).await?;
                    weights.joined.push(Joined { members, buffer });
                }
            }
        }
        weights.bytes = room.bytes;
        Ok(weights)
    }

    /// Reads and uploads everything.
    pub(crate) async fn fill(
        &self,
        gpu: &Gpu,
        graph: &Graph,
        file: &WeightFile<'_>,
        progress: &mut LoadProgress<'_>,
    ) -> Result<(), BackendError> {
        let tensors = find_tensors(graph, file.gguf)?;
        let total = tensors.iter().map(|tensor| tensor.size).sum();
        let mut upload = Upload { gpu, file, progress, done: 0, total, in_flight: 0 };
        for (tensor, (matrix, vector)) in tensors.iter().zip(self.matrices.iter().zip(&self.vectors)) {
            for (matrix, piece) in
                matrix.iter().flat_map(|matrix| matrix.pieces.iter().map(move |piece| (matrix, piece)))
            {
                upload.fill(tensor, matrix.packing, matrix.columns, piece).await?;
            }
            if let (Some(vector), Some(packing)) = (vector, packing(tensor.data_type)) {
                upload.vector(tensor, packing, vector, 0).await?;
            }
            upload.advance(tensor.size)?;
        }
        for joined in &self.joined {
            upload.joined(joined, &tensors).await?;
        }
        upload.settle().await
    }

    /// Where some vectors lie side by side.
    pub(crate) fn joined(&self, members: &Members) -> Option<usize> {
        self.joined.iter().position(|joined| joined.members == *members)
    }
}

fn find_tensors<'a>(graph: &Graph, table: &'a Gguf) -> Result<Vec<&'a TensorInfo>, BackendError> {
    let find = |spec: &WeightSpec| {
        let wrong = |problem: String| BackendError::Tensor { name: spec.name.clone(), problem };
        let tensor = table.tensor(&spec.name).ok_or_else(|| wrong("it is missing".to_owned()))?;
        if tensor.columns() != spec.columns as u64 || tensor.rows() != spec.rows as u64 {
            let (rows, columns) = (tensor.rows(), tensor.columns());
            return Err(wrong(format!("it is {rows} by {columns}, expected {} by {}", spec.rows, spec.columns)));
        }
        let kind = tensor.data_type;
        let blocks = spec.columns / kind.block_elements();
        if spec.columns == 0 || spec.rows == 0 || !spec.columns.is_multiple_of(kind.block_elements()) {
            return Err(wrong(format!("rows of {} elements do not divide into {} blocks", spec.columns, kind.name())));
        }
        let size = blocks.checked_mul(kind.block_bytes()).and_then(|row| row.checked_mul(spec.rows));
        if size.map(|size| size as u64) != Some(tensor.size) {
            return Err(wrong(format!("it has {} bytes, which does not fit its shape", tensor.size)));
        }
        Ok(tensor)
    };
    graph.weights.iter().map(find).collect()
}

/// Which weights are read as matrices and which as plain vectors.
fn uses(graph: &Graph) -> (Vec<bool>, Vec<bool>) {
    let mut matrices = vec![false; graph.weights.len()];
    let mut vectors = vec![false; graph.weights.len()];
    for op in &graph.ops {
        match op {
            Op::Embed { table, .. } => matrices[table.0] = true,
            Op::MatMul { weight, bias, .. } => {
                matrices[weight.0] = true;
                if let Some(bias) = bias {
                    vectors[bias.0] = true;
                }
            }
            Op::RmsNorm { weight, .. } => vectors[weight.0] = true,
            _ => {}
        }
    }
    (matrices, vectors)
}

/// Matrices that are always read together: those of which one gates the other, and those in one format that give
/// queries, keys and values.
fn stacks(graph: &Graph, tensors: &[&TensorInfo]) -> Vec<Vec<usize>> {
    let uses = |index: usize| {
        let used = graph.ops.iter().filter(|op| match op {
            Op::Embed { table, .. } => table.0 == index,
            Op::MatMul { weight, bias, .. } => weight.0 == index || bias.is_some_and(|bias| bias.0 == index),
            Op::RmsNorm { weight, .. } => weight.0 == index,
            _ => false,
        });
        used.count()
    };
    let pair = |ops: &[Op]| match ops {
        [Op::MatMul { weight: first, .. }, Op::MatMul { weight: second, .. }, Op::Gate { .. }] if first != second => {
            Some(vec![first.0, second.0])
        }
        _ => None,
    };
    let mut stacks: Vec<_> = graph.ops.windows(3).filter_map(pair).collect();
    for block in Block::all(graph) {
        let layout = block.layout(|weight| tensors[weight.0].data_type);
        let order: Vec<_> = layout.order.iter().map(|index| block.products[*index].weight.0).collect();
        let alike = order.chunk_by(|one, other| tensors[*one].data_type == tensors[*other].data_type);
        stacks.extend(alike.filter(|stack| stack.len() > 1).map(<[usize]>::to_vec));
    }
    stacks.retain(|stack| stack.iter().all(|index| uses(*index) == 1));
    stacks
}

struct Upload<'a, 'b> {
    gpu: &'a Gpu,
    file: &'a WeightFile<'a>,
    progress: &'a mut LoadProgress<'b>,
    done: u64,
    total: u64,
    in_flight: u64,
}

impl Upload<'_, '_> {
    /// Reads, packs and writes a piece, some groups of rows at a time.
    async fn fill(
        &mut self,
        tensor: &TensorInfo,
        packing: &Packing,
        columns: usize,
        piece: &Piece,
    ) -> Result<(), BackendError> {
        let row_bytes = packing.row_bytes(columns);
        let chunk_rows = (CHUNK / (row_bytes * LANES)).max(1) * LANES;
        let mut stored = Vec::new();
        let mut planes = Planes::default();
        let (quant_bytes, extra_bytes) = packing.group_bytes(columns);
        let first = piece.first_group as u64;
        let mut quants_at = first * quant_bytes as u64;
        let mut extras_at = piece.extras_offset + packing.table_bytes() + first * extra_bytes as u64;
        if !packing.table.is_empty() {
            self.gpu.queue.write_buffer(&piece.buffer, piece.extras_offset, bytemuck::cast_slice(packing.table));
        }
        let mut row = 0;
        while row < piece.rows {
            let rows = chunk_rows.min(piece.rows - row);
            stored.resize(rows * row_bytes, 0);
            let offset = tensor.offset + ((piece.first_row + row) * row_bytes) as u64;
            self.file.bytes.read_at(offset, &mut stored)?;
            packing.pack_rows(&stored, columns, &mut planes);
            self.gpu.queue.write_buffer(&piece.buffer, quants_at, bytemuck::cast_slice(&planes.quants));
            if !planes.extras.is_empty() {
                self.gpu.queue.write_buffer(&piece.buffer, extras_at, bytemuck::cast_slice(&planes.extras));
            }
            quants_at += planes.quants.len() as u64 * 4;
            extras_at += planes.extras.len() as u64 * 4;
            row += rows;
            self.report(tensor_share(row + piece.first_row, row_bytes))?;
            self.sent(stored.len() as u64).await?;
        }
        Ok(())
    }

    /// Uploads some tensors as plain floats, side by side.
    async fn joined(&mut self, joined: &Joined, tensors: &[&TensorInfo]) -> Result<(), BackendError> {
        let mut at = 0;
        for (member, length) in &joined.members {
            if let Some(tensor) = member.and_then(|index| tensors.get(index))
                && let Some(packing) = packing(tensor.data_type)
            {
                self.vector(tensor, packing, &joined.buffer, at).await?;
            }
            at += *length as u64 * 4;
        }
        Ok(())
    }

    /// Uploads a tensor as plain floats.
    async fn vector(
        &mut self,
        tensor: &TensorInfo,
        packing: &Packing,
        buffer: &Buffer,
        at: u64,
    ) -> Result<(), BackendError> {
        let (rows, columns) = (tensor.rows() as usize, tensor.columns() as usize);
        let mut stored = vec![0; packing.row_bytes(columns)];
        let mut planes = Planes::default();
        for row in 0..rows {
            self.file.bytes.read_at(tensor.offset + (row * stored.len()) as u64, &mut stored)?;
            packing.pack_rows(&stored, columns, &mut planes);
            let values = packing.unpack_row(&planes, 0, columns);
            self.gpu.queue.write_buffer(buffer, at + (row * columns * 4) as u64, bytemuck::cast_slice(&values));
        }
        self.sent((rows * columns * 4) as u64).await
    }

    /// Tells how far the current tensor is.
    fn report(&mut self, share: u64) -> Result<(), BackendError> {
        match (self.progress)((self.done + share).min(self.total), self.total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackendError::Cancelled),
        }
    }

    /// A tensor is in place.
    fn advance(&mut self, bytes: u64) -> Result<(), BackendError> {
        self.done += bytes;
        self.report(0)
    }

    /// Lets the device take what was written, so that copies do not pile up.
    async fn sent(&mut self, bytes: u64) -> Result<(), BackendError> {
        self.in_flight += bytes;
        if self.in_flight >= IN_FLIGHT { self.settle().await } else { Ok(()) }
    }

    async fn settle(&mut self) -> Result<(), BackendError> {
        self.in_flight = 0;
        let submission = self.gpu.queue.submit([]);
        readback::finished(self.gpu, submission).await
    }
}

fn tensor_share(rows: usize, row_bytes: usize) -> u64 {
    (rows * row_bytes) as u64
}
