//! One conversation's keys and values.

use nearside_engine::backend::{BackendError, ExecutorOptions};
use nearside_engine::graph::{CacheShape, Graph};
use wgpu::{BindGroup, Buffer};

use crate::adapter::Gpu;
use crate::allocation::{Allocations, STORAGE, Verdict};

/// A cache's buffers, by layer.
pub(crate) struct CacheBuffers {
    pub(crate) keys: Vec<Buffer>,
    pub(crate) values: Vec<Buffer>,
    /// Owns them.
    pub(crate) allocations: Allocations,
}

/// A cache and the bind groups of the operations that use one.
pub(crate) struct Cache {
    /// Owns the buffers that the groups bind.
    pub(crate) _allocations: Allocations,
    pub(crate) groups: Vec<BindGroup>,
    /// Positions that hold something.
    pub(crate) length: usize,
}

/// Bytes of one layer's keys: two for each element.
fn layer_bytes(shape: CacheShape, context: usize) -> Option<u64> {
    let elements = (shape.heads as u64).checked_mul(shape.head_dim as u64)?.checked_mul(context as u64)?;
    elements.checked_mul(2)
}

/// The longest context, at most the one asked for, whose layers each fit a binding.
pub(crate) fn fitting_context(gpu: &Gpu, graph: &Graph, options: ExecutorOptions) -> usize {
    let limit = gpu.facts.max_storage_binding_size;
    let per_position = graph.caches.iter().filter_map(|shape| layer_bytes(*shape, 1)).max().unwrap_or(1).max(1);
    let most = usize::try_from(limit / per_position).unwrap_or(usize::MAX);
    options.context.min(most)
}

impl CacheBuffers {
    /// Buffers for every layer, and the verdicts on them.
    pub(crate) fn start(
        gpu: &Gpu,
        shapes: &[CacheShape],
        context: usize,
    ) -> Result<(Self, Vec<Verdict>), BackendError> {
        let too_much = || BackendError::OutOfMemory { bytes: u64::MAX, purpose: "a conversation's cache".to_owned() };
        let mut buffers = Self { keys: Vec::new(), values: Vec::new(), allocations: Allocations::default() };
        let mut verdicts = Vec::new();
        for shape in shapes {
            let bytes = layer_bytes(*shape, context).ok_or_else(too_much)?;
            for plane in [&mut buffers.keys, &mut buffers.values] {
                let (buffer, verdict) = buffers.allocations.start(gpu, bytes, STORAGE, "a conversation's cache");
                plane.push(buffer);
                verdicts.push(verdict);
            }
        }
        Ok((buffers, verdicts))
    }

    /// How many buffers there are.
    pub(crate) fn count(&self) -> usize {
        self.keys.len() + self.values.len()
    }
}
