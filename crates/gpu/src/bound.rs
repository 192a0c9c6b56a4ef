//! A plan with its pipelines, parameters and bind groups.

use std::ops::Range;

use nearside_engine::backend::BackendError;
use wgpu::{BindGroup, BufferUsages, ComputePipeline};

use crate::adapter::Gpu;
use crate::allocation::{ALIGNMENT, Allocations, Verdict};
use crate::binding::{Recipe, Resources};
use crate::cache::CacheBuffers;
use crate::kernels::Grid;
use crate::plan::{ByRows, Call, Phase, Plan};
use crate::reads;

/// Which bind group a dispatch uses.
pub(crate) enum Groups {
    Shared(BindGroup),
    /// The step's cache's, by number.
    PerCache(usize),
}

/// One kernel over its bindings.
pub(crate) struct Dispatch {
    pub(crate) pipeline: ComputePipeline,
    pub(crate) groups: Groups,
    pub(crate) grid: Grid,
    /// Bytes of weights that it reads.
    pub(crate) weight_bytes: u64,
}

/// What an operation, or several, run in a step.
pub(crate) struct Operation {
    pub(crate) phase: Phase,
    pub(crate) dispatches: ByRows<Dispatch>,
}

/// Everything that a step encodes.
pub(crate) struct Bound {
    pub(crate) operations: Vec<Operation>,
    /// Those of the layers.
    pub(crate) layers: Range<usize>,
    recipes: Vec<Recipe>,
    /// Every operation's, each at a multiple of [`ALIGNMENT`].
    params: wgpu::Buffer,
    /// Owns that.
    _allocations: Allocations,
}

impl Bound {
    /// Binds the calls of a plan; programs that are new are compiled. The verdict is on the parameters' buffer.
    pub(crate) fn new(gpu: &Gpu, resources: &Resources, plan: &Plan) -> (Self, Verdict) {
        let calls = &plan.calls;
        let mut allocations = Allocations::new(gpu);
        let count = calls.iter().flat_map(|planned| planned.calls.all()).count() as u64;
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let (params, verdict) = allocations.start(gpu, count * ALIGNMENT, usage, "parameters");
        let mut binder = Binder { gpu, resources, params: &params, words: Vec::new(), recipes: Vec::new() };
        let operations = calls
            .iter()
            .map(|planned| Operation {
                phase: planned.phase,
                dispatches: planned.calls.map(|call| binder.dispatch(call)),
            })
            .collect();
        let Binder { words, recipes, .. } = binder;
        gpu.queue.write_buffer(&params, 0, bytemuck::cast_slice(&words));
        (Self { operations, layers: plan.layers.clone(), recipes, params, _allocations: allocations }, verdict)
    }

    /// The bind groups of one cache.
    pub(crate) fn bind_cache(&self, gpu: &Gpu, resources: &Resources, buffers: &CacheBuffers) -> Vec<BindGroup> {
        self.recipes.iter().map(|recipe| resources.bind(gpu, recipe, &self.params, Some(buffers))).collect()
    }

    /// How many buffers and shared bind groups there are.
    pub(crate) fn resources(&self) -> usize {
        let dispatches = self.operations.iter().flat_map(|operation| operation.dispatches.all());
        1 + dispatches.filter(|dispatch| matches!(dispatch.groups, Groups::Shared(_))).count()
    }
}

struct Binder<'a> {
    gpu: &'a Gpu,
    resources: &'a Resources,
    params: &'a wgpu::Buffer,
    words: Vec<u32>,
    recipes: Vec<Recipe>,
}

impl Binder<'_> {
    fn dispatch(&mut self, call: &Call) -> Dispatch {
        let compiled = self.gpu.pipelines.get(self.gpu, &call.program);
        let offset = self.words.len() as u64 * 4;
        self.words.extend(&call.params);
        self.words.resize((offset + ALIGNMENT) as usize / 4, 0);
        let bindings =
            call.program.bindings.iter().map(|binding| binding.0).zip(call.sources.iter().copied()).collect();
        let recipe = Recipe { layout: compiled.layout, params: offset, bindings };
        let groups = if call.sources.iter().any(|source| source.per_cache()) {
            self.recipes.push(recipe);
            Groups::PerCache(self.recipes.len() - 1)
        } else {
            Groups::Shared(self.resources.bind(self.gpu, &recipe, self.params, None))
        };
        let weight_bytes = reads::weight_bytes(self.resources, call);
        Dispatch { pipeline: compiled.pipeline, groups, grid: call.grid, weight_bytes }
    }
}

/// Fails if what was bound breaks the device's rules, which it says later in a browser.
pub(crate) type Scope = wgpu::ErrorScopeGuard;

/// Starts to listen for that.
pub(crate) fn scope(gpu: &Gpu) -> Scope {
    gpu.device.push_error_scope(wgpu::ErrorFilter::Validation)
}

/// The verdict on everything since then.
pub(crate) fn verdict(scope: Scope) -> Verdict {
    use futures_util::FutureExt;
    let error = scope.pop().boxed_local();
    async move {
        match error.await {
            Some(error) => Err::<(), BackendError>(crate::failure::from_wgpu(&error, 0, "a kernel")),
            None => Ok(()),
        }
    }
    .boxed_local()
}
