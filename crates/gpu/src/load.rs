//! From a graph and a file to an executor.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::{
    BackendError, BegunLoad, Counters, Executor, ExecutorOptions, LoadProgress, MAX_CHOICES, WeightFile,
};
use nearside_engine::graph::Graph;
use nearside_gguf::Gguf;
use wgpu::BufferUsages;

use crate::adapter::Gpu;
use crate::allocation::{Allocations, STORAGE};
use crate::binding::{Resources, StepLayout};
use crate::bound::{self, Bound};
use crate::cache::{fitting_context, fitting_format};
use crate::executor::{GpuExecutor, Left};
use crate::kernels::change_logits;
use crate::kernels::sample::{Deal, RESULT_WORDS};
use crate::low_rank::Adapters;
use crate::pipelines::Compiling;
use crate::plan::{Plan, one_token_words, packed_words, plan, slot_rows, stride, turn_count};
use crate::readback::Readback;
use crate::tune::most_tokens;
use crate::weights::Weights;

/// A load of which only the weights are missing.
pub(crate) enum Begun {
    /// What takes long is being compiled.
    Compiling(Box<Parts>),
    /// It has run, on weights of zeros.
    Rehearsed(Box<GpuExecutor>),
}

/// What an executor is made of.
pub(crate) struct Parts {
    gpu: Gpu,
    graph: Graph,
    options: ExecutorOptions,
    resources: Resources,
    readback: Readback,
    plan: Plan,
    compiling: Compiling,
    allocations: Allocations,
}

/// Uploads, plans, compiles and binds everything that steps need.
pub(crate) async fn load(
    gpu: &Gpu,
    graph: &Graph,
    file: WeightFile<'_>,
    options: ExecutorOptions,
    progress: &mut LoadProgress<'_>,
) -> Result<GpuExecutor, BackendError> {
    Begun::new(gpu, graph, file.gguf, options).await?.fill(&file, progress).await
}

impl Begun {
    /// Makes room, plans, and starts to compile.
    pub(crate) async fn new(
        gpu: &Gpu,
        graph: &Graph,
        table: &Gguf,
        options: ExecutorOptions,
    ) -> Result<Self, BackendError> {
        gpu.check()?;
        graph.check()?;
        let mut allocations = Allocations::new(gpu);
        let options = fitting_options(gpu, graph, options)?;
        let weights = Weights::room(gpu, graph, table, &mut allocations).await?;
        let resources = resources(gpu, graph, weights, options, &mut allocations).await?;
        let readback = Readback::new(gpu, graph, options, &mut allocations).await?;
        let plan = plan(graph, &resources.weights, &resources.adapters, gpu.tuning, options)?;
        let programs = plan.calls.iter().flat_map(|planned| planned.calls.all()).map(|call| &call.program);
        let compiling = Compiling::start(gpu, programs);
        let (gpu, graph) = (gpu.clone(), graph.clone());
        let parts = Parts { gpu, graph, options, resources, readback, plan, compiling, allocations };
        Ok(Self::Compiling(Box::new(parts)))
    }

    /// Reads the weights, and does what was not done before.
    pub(crate) async fn fill(
        self,
        file: &WeightFile<'_>,
        progress: &mut LoadProgress<'_>,
    ) -> Result<GpuExecutor, BackendError> {
        match self {
            // What takes long is compiled while the weights are read.
            Self::Compiling(parts) => {
                parts.resources.weights.fill(&parts.gpu, &parts.graph, file, progress).await?;
                parts.rehearse().await
            }
            Self::Rehearsed(executor) => {
                executor.resources.weights.fill(&executor.gpu, &executor.graph, file, progress).await?;
                executor.gpu.check()?;
                Ok(*executor)
            }
        }
    }
}

impl Parts {
    /// Binds what was compiled and has it run once.
    async fn rehearse(self) -> Result<GpuExecutor, BackendError> {
        let Self { gpu, graph, options, resources, readback, plan, compiling, allocations } = self;
        compiling.finish();
        let scope = bound::scope(&gpu);
        let (bound, room) = Bound::new(&gpu, &resources, &plan);
        bound::verdict(scope).await?;
        room.await?;
        gpu.check()?;
        let mut executor = GpuExecutor {
            counters: Counters { weight_bytes: resources.weights.bytes, ..Counters::default() },
            gpu,
            graph,
            options,
            resources,
            bound,
            turns: plan.turns,
            caches: Vec::new(),
            readback,
            verdicts: Vec::new(),
            left: Left::Nothing,
            next_ticket: 0,
            staging: Vec::new(),
            spare: None,
            _allocations: allocations,
        };
        executor.warm_up().await?;
        Ok(executor)
    }
}

impl BegunLoad for Begun {
    fn rehearse(self: Box<Self>) -> LocalBoxFuture<'static, Result<Box<dyn BegunLoad>, BackendError>> {
        async move {
            let executor = match *self {
                Self::Compiling(parts) => Box::new(parts.rehearse().await?),
                Self::Rehearsed(executor) => executor,
            };
            Ok(Box::new(Self::Rehearsed(executor)) as Box<dyn BegunLoad>)
        }
        .boxed_local()
    }

    fn finish<'a>(
        self: Box<Self>,
        file: WeightFile<'a>,
        progress: &'a mut LoadProgress<'a>,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Executor>, BackendError>> {
        async move { Ok(Box::new(self.fill(&file, progress).await?) as Box<dyn Executor>) }.boxed_local()
    }
}

/// The options lowered to what the device can do.
fn fitting_options(gpu: &Gpu, graph: &Graph, options: ExecutorOptions) -> Result<ExecutorOptions, BackendError> {
    let options = ExecutorOptions { cache: fitting_format(graph, options.cache), ..options };
    let context = fitting_context(gpu, graph, options);
    // Slots that hold only the last rows do not limit how many there are before them.
    let probe = slot_rows(graph, ExecutorOptions { batch: 2, choices: 1, ..options });
    let body = graph.slots.iter().zip(probe).filter(|(_, rows)| *rows == 2);
    let widest = body.map(|(width, _)| stride(*width) as u64 * 4).max().unwrap_or(1).max(1);
    let most = gpu.facts.max_storage_binding_size / widest;
    let batch = options.batch.min(usize::try_from(most).unwrap_or(usize::MAX)).min(context);
    let batch = batch.min(most_tokens(graph, ExecutorOptions { context, ..options }, &gpu.tuning));
    if context == 0 || batch == 0 {
        return Err(BackendError::Unsupported {
            what: format!("a context of {} in steps of {}", options.context, options.batch),
            backend: "GPU",
            remedy: "ask for at least one position and one token",
        });
    }
    let choices = options.choices.clamp(1, MAX_CHOICES).min(batch);
    Ok(ExecutorOptions { context, batch, choices, ..options })
}

async fn resources(
    gpu: &Gpu,
    graph: &Graph,
    weights: Weights,
    options: ExecutorOptions,
    allocations: &mut Allocations,
) -> Result<Resources, BackendError> {
    let usage = STORAGE | BufferUsages::COPY_SRC;
    let mut slots = Vec::new();
    for (width, rows) in graph.slots.iter().zip(slot_rows(graph, options)) {
        // Kernels read whole tiles of rows, though they write only the step's.
        let bytes = (stride(*width) * rows.next_multiple_of(8) * 4) as u64;
        slots.push(allocations.buffer(gpu, bytes, usage, "activations").await?);
    }
    let layout = StepLayout::new(options.choices, options.batch, turn_count(graph));
    let deal = Deal::new(graph.vocabulary as u32);
    let choices = options.choices as u64;
    let (heads, partials) = one_token_words(graph, options, &gpu.tuning);
    let heads = allocations.buffer(gpu, heads * 4, usage, "activations").await?;
    let partials = allocations.buffer(gpu, partials * 4, usage, "activations").await?;
    let packed = allocations.buffer(gpu, packed_words(graph, options, &gpu.tuning) * 4, usage, "activations").await?;
    let mut sampling = async |words: u64| allocations.buffer(gpu, words * 4, usage, "sampling").await;
    Ok(Resources {
        slots,
        heads,
        partials,
        packed,
        weights,
        adapters: Adapters::default(),
        groups: sampling(choices * deal.group_words()).await?,
        selected: sampling(choices * 64).await?,
        result: sampling(choices * RESULT_WORDS as u64).await?,
        changes: sampling(change_logits::buffer_words(graph.vocabulary) as u64).await?,
        step: allocations.buffer(gpu, layout.size(), STORAGE | BufferUsages::UNIFORM, "a step's input").await?,
        layout,
        nothing: allocations.buffer(gpu, 16, STORAGE, "an empty binding").await?,
    })
}
