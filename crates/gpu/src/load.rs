//! From a graph and a file to an executor.

use nearside_engine::backend::{BackendError, Counters, ExecutorOptions, LoadProgress, WeightFile};
use nearside_engine::graph::Graph;
use wgpu::BufferUsages;

use crate::adapter::Gpu;
use crate::allocation::{ALIGNMENT, Allocations, STORAGE};
use crate::binding::{Recipe, Resources, StepLayout};
use crate::cache::fitting_context;
use crate::executor::{Dispatch, GpuExecutor, Groups, Operation};
use crate::failure::from_wgpu;
use crate::kernels::sample::RESULT_WORDS;
use crate::pipelines::Pipelines;
use crate::plan::{Call, Plan, plan, slot_rows, stride};
use crate::readback::Readback;
use crate::weights::Weights;

/// Uploads, plans, compiles and binds everything that steps need.
pub(crate) async fn load(
    gpu: &Gpu,
    graph: &Graph,
    file: WeightFile<'_>,
    options: ExecutorOptions,
    progress: &mut LoadProgress<'_>,
) -> Result<GpuExecutor, BackendError> {
    gpu.failure.check()?;
    graph.check()?;
    let mut allocations = Allocations::default();
    let options = fitting_options(gpu, graph, options)?;
    let weights = Weights::load(gpu, graph, &file, &mut allocations, progress).await?;
    let weight_bytes = weights.bytes;
    let plan = plan(graph, &weights, gpu.tuning, options)?;
    let resources = resources(gpu, graph, &plan, weights, options, &mut allocations).await?;
    let readback = Readback::new(gpu, graph.vocabulary, &mut allocations).await?;

    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let mut binder =
        Binder { gpu, resources: &resources, pipelines: Pipelines::default(), params: Vec::new(), recipes: Vec::new() };
    let mut operations = Vec::new();
    for planned in &plan.calls {
        let single = binder.dispatch(&planned.single);
        let many = planned.many.as_ref().map(|call| binder.dispatch(call));
        operations.push(Operation { phase: planned.phase, single, many });
    }
    let Binder { params, recipes, .. } = binder;
    gpu.queue.write_buffer(&resources.params, 0, bytemuck::cast_slice(&params));
    if let Some(error) = scope.pop().await {
        return Err(from_wgpu(&error, 0, "a kernel"));
    }
    gpu.failure.check()?;
    Ok(GpuExecutor {
        gpu: gpu.clone(),
        options,
        resources,
        operations,
        recipes,
        turns: plan.turns,
        caches: Vec::new(),
        shapes: graph.caches.clone(),
        table_rows: graph.vocabulary,
        logits: graph.logits.0,
        readback,
        verdicts: Vec::new(),
        sampled: false,
        next_ticket: 0,
        counters: Counters { weight_bytes, ..Counters::default() },
        staging: Vec::new(),
        _allocations: allocations,
    })
}

/// The options lowered to what the device can do.
fn fitting_options(gpu: &Gpu, graph: &Graph, options: ExecutorOptions) -> Result<ExecutorOptions, BackendError> {
    let context = fitting_context(gpu, graph, options);
    let widest = graph.slots.iter().map(|width| stride(*width) as u64 * 4).max().unwrap_or(1).max(1);
    let most = gpu.facts.max_storage_binding_size / widest;
    let batch = options.batch.min(usize::try_from(most).unwrap_or(usize::MAX)).min(context);
    if context == 0 || batch == 0 {
        return Err(BackendError::Unsupported {
            what: format!("a context of {} in steps of {}", options.context, options.batch),
            backend: "GPU",
            remedy: "ask for at least one position and one token",
        });
    }
    Ok(ExecutorOptions { context, batch, ..options })
}

async fn resources(
    gpu: &Gpu,
    graph: &Graph,
    plan: &Plan,
    weights: Weights,
    options: ExecutorOptions,
    allocations: &mut Allocations,
) -> Result<Resources, BackendError> {
    let usage = STORAGE | BufferUsages::COPY_SRC;
    let mut slots = Vec::new();
    for (width, rows) in graph.slots.iter().zip(slot_rows(graph, options.batch)) {
        // Kernels read whole tiles of rows, though they write only the step's.
        let bytes = (stride(*width) * rows.next_multiple_of(8) * 4) as u64;
        slots.push(allocations.buffer(gpu, bytes, usage, "activations").await?);
    }
    let layout = StepLayout::new(options.batch, plan.turn_count);
    let calls: u64 = plan.calls.iter().map(|planned| 1 + u64::from(planned.many.is_some())).sum();
    let uniform = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
    Ok(Resources {
        slots,
        weights,
        step: allocations.buffer(gpu, layout.size(), STORAGE | BufferUsages::UNIFORM, "a step's input").await?,
        layout,
        params: allocations.buffer(gpu, calls * ALIGNMENT, uniform, "parameters").await?,
        groups: allocations.buffer(gpu, u64::from(plan.deal.groups) * 12, STORAGE, "sampling").await?,
        selected: allocations.buffer(gpu, 256, STORAGE, "sampling").await?,
        result: allocations.buffer(gpu, RESULT_WORDS as u64 * 4, usage, "sampling").await?,
        nothing: allocations.buffer(gpu, 16, STORAGE, "an empty binding").await?,
    })
}

struct Binder<'a> {
    gpu: &'a Gpu,
    resources: &'a Resources,
    pipelines: Pipelines,
    params: Vec<u32>,
    recipes: Vec<Recipe>,
}

impl Binder<'_> {
    fn dispatch(&mut self, call: &Call) -> Dispatch {
        let compiled = self.pipelines.get(self.gpu, &call.program);
        let offset = self.params.len() as u64 * 4;
        self.params.extend(&call.params);
        self.params.resize((offset + ALIGNMENT) as usize / 4, 0);
        let bindings =
            call.program.bindings.iter().map(|binding| binding.0).zip(call.sources.iter().copied()).collect();
        let recipe = Recipe { layout: compiled.layout, params: offset, bindings };
        let groups = if call.sources.iter().any(|source| source.per_cache()) {
            self.recipes.push(recipe);
            Groups::PerCache(self.recipes.len() - 1)
        } else {
            Groups::Shared(self.resources.bind(self.gpu, &recipe, None))
        };
        Dispatch { pipeline: compiled.pipeline, groups, grid: call.grid }
    }
}
