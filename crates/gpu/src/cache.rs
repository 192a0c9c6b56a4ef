//! One conversation's keys and values.

use nearside_engine::backend::{BackendError, CacheFormat, ExecutorOptions};
use nearside_engine::graph::{CacheShape, Graph};
use wgpu::{BindGroup, Buffer, BufferUsages, CommandEncoder};

use crate::adapter::Gpu;
use crate::allocation::{Allocations, STORAGE, Verdict};
use crate::kernels::store_cache::{code_words, scale_words};

/// The keys or the values of one layer: the codes, and where the format has them the scales. Each is head
/// after head, and in a head position after position.
pub(crate) struct Plane {
    pub(crate) codes: Buffer,
    pub(crate) scales: Option<Buffer>,
}

/// A cache's buffers, by layer.
pub(crate) struct CacheBuffers {
    pub(crate) keys: Vec<Plane>,
    pub(crate) values: Vec<Plane>,
    /// Owns them.
    pub(crate) allocations: Allocations,
}

/// A cache and the bind groups of the operations that use one.
pub(crate) struct Cache {
    pub(crate) buffers: CacheBuffers,
    pub(crate) groups: Vec<BindGroup>,
    /// Positions that hold something.
    pub(crate) length: usize,
}

/// Bytes of one layer's keys' codes.
fn layer_bytes(shape: CacheShape, format: CacheFormat, context: usize) -> Option<u64> {
    let words = (shape.heads as u64).checked_mul(code_words(shape.head_dim, format) as u64)?;
    words.checked_mul(context as u64)?.checked_mul(4)
}

/// The format asked for if every head divides into its blocks, or halves.
pub(crate) fn fitting_format(graph: &Graph, asked: CacheFormat) -> CacheFormat {
    let divides = graph.caches.iter().all(|shape| shape.head_dim.is_multiple_of(32));
    if divides { asked } else { CacheFormat::F16 }
}

/// The longest context, at most the one asked for, whose layers each fit a binding.
pub(crate) fn fitting_context(gpu: &Gpu, graph: &Graph, options: ExecutorOptions) -> usize {
    let limit = gpu.facts.max_storage_binding_size;
    let bytes = |shape: &CacheShape| layer_bytes(*shape, options.cache, 1);
    let per_position = graph.caches.iter().filter_map(bytes).max().unwrap_or(1).max(1);
    let most = usize::try_from(limit / per_position).unwrap_or(usize::MAX);
    options.context.min(most)
}

impl CacheBuffers {
    /// Buffers for every layer, and the verdicts on them.
    pub(crate) fn start(
        gpu: &Gpu,
        shapes: &[CacheShape],
        options: ExecutorOptions,
    ) -> Result<(Self, Vec<Verdict>), BackendError> {
        const PURPOSE: &str = "a conversation's cache";
        let too_much = || BackendError::OutOfMemory { bytes: u64::MAX, purpose: PURPOSE.to_owned() };
        let usage = STORAGE | BufferUsages::COPY_SRC;
        let mut buffers = Self { keys: Vec::new(), values: Vec::new(), allocations: Allocations::new(gpu) };
        let mut verdicts = Vec::new();
        for shape in shapes {
            let bytes = layer_bytes(*shape, options.cache, options.context).ok_or_else(too_much)?;
            let scale_bytes = (shape.heads * options.context * scale_words(shape.head_dim) * 4) as u64;
            for planes in [&mut buffers.keys, &mut buffers.values] {
                let mut start = |bytes| {
                    let (buffer, verdict) = buffers.allocations.start(gpu, bytes, usage, PURPOSE);
                    verdicts.push(verdict);
                    buffer
                };
                let codes = start(bytes);
                let scales = (options.cache == CacheFormat::Q8_0).then(|| start(scale_bytes));
                planes.push(Plane { codes, scales });
            }
        }
        Ok((buffers, verdicts))
    }

    /// Copies the first positions of every layer.
    pub(crate) fn copy_from(
        &self,
        encoder: &mut CommandEncoder,
        from: &Self,
        shapes: &[CacheShape],
        options: ExecutorOptions,
        length: usize,
    ) {
        let mut copy = |from: &Buffer, to: &Buffer, heads: usize, words: usize| {
            for head in 0..heads {
                let start = (head * options.context * words * 4) as u64;
                encoder.copy_buffer_to_buffer(from, start, to, start, (length * words * 4) as u64);
            }
        };
        let planes = from.keys.iter().zip(&self.keys).chain(from.values.iter().zip(&self.values));
        for ((from, to), shape) in planes.zip(shapes.iter().chain(shapes)) {
            copy(&from.codes, &to.codes, shape.heads, code_words(shape.head_dim, options.cache));
            if let (Some(from), Some(to)) = (&from.scales, &to.scales) {
                copy(from, to, shape.heads, scale_words(shape.head_dim));
            }
        }
    }
}
