//! Which dispatches a step is, and how they are encoded.

use wgpu::{BindGroup, CommandEncoder, ComputePass, ComputePassDescriptor};

use nearside_engine::backend::CacheId;

use crate::bound::{Bound, Dispatch, Groups};
use crate::cache::Cache;
use crate::executor::GpuExecutor;
use crate::plan::Phase;

/// One compute pass: which operations run, for which rows.
pub(crate) struct Pass {
    pub(crate) phases: &'static [Phase],
    pub(crate) cache: Option<CacheId>,
    pub(crate) rows: usize,
    pub(crate) choices: usize,
}

impl Pass {
    /// Whether an operation of a phase runs, and for how many rows.
    pub(crate) fn rows(&self, phase: Phase) -> Option<usize> {
        self.phases.contains(&phase).then_some(match phase {
            Phase::Body | Phase::Tail => self.rows,
            Phase::Head | Phase::Change | Phase::Sample => self.choices,
        })
    }
}

/// A dispatch with its bind group and its workgroups.
#[derive(Clone, Copy)]
pub(crate) struct Encoded<'a> {
    pub(crate) dispatch: &'a Dispatch,
    /// Whether it belongs to a layer.
    layer: bool,
    group: &'a BindGroup,
    workgroups: (u32, u32),
}

impl Encoded<'_> {
    pub(crate) fn encode(&self, pass: &mut ComputePass<'_>) {
        pass.set_pipeline(&self.dispatch.pipeline);
        pass.set_bind_group(0, self.group, &[]);
        pass.dispatch_workgroups(self.workgroups.0, self.workgroups.1, 1);
    }
}

/// The dispatches of a pass, in their order.
pub(crate) fn dispatches<'a>(
    bound: &'a Bound,
    cache: Option<&'a Cache>,
    wanted: &'a Pass,
) -> impl Iterator<Item = Encoded<'a>> {
    bound.operations.iter().enumerate().flat_map(move |(index, operation)| {
        let layer = bound.layers.contains(&index);
        let rows = wanted.rows(operation.phase);
        let dispatches = rows.map_or(&[][..], |rows| operation.dispatches.of(rows));
        dispatches.iter().filter_map(move |dispatch| {
            let group = match (&dispatch.groups, cache) {
                (Groups::Shared(group), _) => group,
                (Groups::PerCache(index), Some(cache)) => &cache.groups[*index],
                (Groups::PerCache(_), None) => return None,
            };
            Some(Encoded { dispatch, layer, group, workgroups: dispatch.grid.workgroups(rows.unwrap_or(0) as u32) })
        })
    })
}

impl GpuExecutor {
    pub(crate) fn cache_of(&self, wanted: &Pass) -> Option<&Cache> {
        self.caches.get(wanted.cache?.0)?.as_ref()
    }

    /// Encodes a pass.
    pub(crate) fn encode(&mut self, encoder: &mut CommandEncoder, wanted: &Pass) {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        let (mut count, mut in_layers, mut bytes) = (0, 0, 0);
        for encoded in dispatches(&self.bound, self.cache_of(wanted), wanted) {
            encoded.encode(&mut pass);
            count += 1;
            in_layers += u64::from(encoded.layer);
            bytes += encoded.dispatch.weight_bytes;
        }
        self.counters.dispatches += count;
        self.counters.layer_dispatches += in_layers;
        self.counters.weight_bytes_read += bytes;
        self.counters.passes += 1;
    }
}
