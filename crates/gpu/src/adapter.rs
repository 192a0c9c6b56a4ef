//! Finding the device, and what is known about it.

use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::{
    Backend, BackendDescription, BackendError, BackendKind, BegunLoad, Executor, ExecutorOptions, LoadProgress,
    WeightFile,
};
use nearside_engine::graph::Graph;
use nearside_gguf::Gguf;

use crate::allocation::Allocated;
use crate::failure::Failure;
use crate::kernels::tiles::{self, Tile, Tiles};
use crate::load;
use crate::pipelines::Pipelines;
use crate::platform;
use crate::readback;
use crate::self_check;
use crate::tune;

/// Which of several adapters to prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PowerPreference {
    /// The one that saves power.
    Low,
    /// The fast one.
    #[default]
    High,
}

/// What goes wrong with a device, so that a test sees what follows.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its answer to the small computation at the start.
    WrongNumbers,
    /// It is lost after so many steps of a model.
    LostAfter(u64),
}

/// How to look for an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
pub struct GpuOptions {
    /// Which of several to prefer.
    pub power: PowerPreference,
    /// Whether `shader-f16` may be asked for.
    pub allow_f16: bool,
    /// Whether subgroups may be used.
    pub allow_subgroups: bool,
    /// Whether no more is asked for than WebGPU promises everywhere: bindings of 128 MiB in buffers of
    /// 256 MiB. Invocations and memory of a workgroup are never asked for beyond that.
    pub least_limits: bool,
    /// Whether software will do as an adapter. Where it will not, it is refused before anything is compiled for it
    /// or measured of it.
    pub allow_software: bool,
    /// Natively, only an adapter whose name contains this, in any case of letters.
    pub adapter: Option<String>,
    /// What goes wrong; nothing but in a test.
    #[doc(hidden)]
    pub fault: Option<Fault>,
    /// The only tile for formats that it can hold, so that a test sees each. Few tokens are multiplied in packed
    /// integers if it is of those.
    #[doc(hidden)]
    pub tile: Option<Tile>,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self {
            power: PowerPreference::default(),
            allow_f16: true,
            allow_subgroups: true,
            least_limits: false,
            allow_software: true,
            adapter: None,
            fault: None,
            tile: None,
        }
    }
}

/// What is known about the adapter, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and no state")]
pub struct AdapterFacts {
    /// Its name, or on the web its vendor and architecture.
    pub name: String,
    /// Its vendor: a PCI number natively, a word on the web.
    pub vendor: String,
    /// Whether it is a program on the CPU: good for judging correctness, not speed.
    pub software: bool,
    /// Whether `shader-f16` was there and allowed.
    pub f16: bool,
    /// Whether subgroups were there and allowed.
    pub subgroups: bool,
    /// Whether its shaders may multiply packed 8-bit integers.
    pub packed_dots: bool,
    /// Whether timestamps can be taken at the ends of a pass.
    pub timestamp_queries: bool,
    /// The largest buffer, in bytes.
    pub max_buffer_size: u64,
    /// The most of a buffer that a kernel sees at once, in bytes.
    pub max_storage_binding_size: u64,
    /// Memory of a workgroup, in bytes.
    pub max_workgroup_memory: u32,
    /// Invocations of a workgroup.
    pub max_workgroup_invocations: u32,
}

/// Sizes that suit the adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuning {
    /// Invocations that share one norm.
    pub(crate) norm_threads: u32,
    /// Whether reductions go through subgroups.
    pub(crate) subgroups: bool,
    /// The most slices a weight row is split into for one token.
    pub(crate) split: u32,
    /// The most slices the positions are split into for one token.
    pub(crate) slices: u32,
    /// The tiles in which several tokens are multiplied; none where tiles do not pay.
    pub(crate) tiles: Option<Tiles>,
    /// Weight rows of one invocation where they are not.
    pub(crate) rows: u32,
    /// Tokens of one invocation where they are not.
    pub(crate) tokens: u32,
    /// Whether their products are of packed integers, where weights are.
    pub(crate) packed: bool,
    /// Operations a second that were measured for products with many tokens; 0 before that.
    pub(crate) rate: u64,
}

impl Tuning {
    /// What suits most adapters of its kind. On a CPU a barrier costs more than the memory reads it saves.
    pub(crate) fn new(facts: &AdapterFacts, software: bool) -> Self {
        let subgroups = facts.subgroups;
        if software {
            Self {
                norm_threads: 16,
                subgroups,
                split: 1,
                slices: 4,
                tiles: None,
                rows: 4,
                tokens: 8,
                packed: false,
                rate: 0,
            }
        } else {
            let tiles = Some(Tiles::only(tiles::WIDE));
            Self {
                norm_threads: 64,
                subgroups,
                split: 16,
                slices: 32,
                tiles,
                rows: 1,
                tokens: 4,
                packed: false,
                rate: 0,
            }
        }
    }
}

/// A device, its queue and what is known about them; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) facts: AdapterFacts,
    pub(crate) tuning: Tuning,
    pub(crate) failure: Failure,
    pub(crate) pipelines: Pipelines,
    pub(crate) allocated: Allocated,
    /// Steps of a model after which a test has it lost.
    pub(crate) lost_after: Option<u64>,
}

impl Gpu {
    /// Fails if the device has.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        // Natively a device says what happened to it only when it is asked.
        if cfg!(not(target_arch = "wasm32"))
            && let Err(error) = self.device.poll(wgpu::PollType::Poll)
        {
            self.failure.set(BackendError::DeviceLost { reason: error.to_string() });
        }
        self.failure.check()
    }
}

/// The backend for GPUs.
#[derive(Debug, Clone)]
pub struct GpuBackend {
    gpu: Gpu,
}

impl GpuBackend {
    /// Looks for an adapter, opens a device on it and lets it do a small computation whose answer is known:
    /// an adapter that computes wrongly is none. What it compiles for that, models find compiled.
    pub async fn probe(options: GpuOptions) -> Result<Self, BackendError> {
        let mut gpu = open(&options).await?;
        self_check::run(&gpu, options.fault).await?;
        tune::tune(&mut gpu, options.tile).await?;
        let tiles = gpu.tuning.tiles;
        if (gpu.tuning.packed || tiles.is_some_and(|tiles| tiles.packed.is_some()))
            && let Err(error) = self_check::run(&gpu, None).await
        {
            if options.tile.is_some() {
                return Err(error);
            }
            // A driver that has only packed integers wrong is good for all others.
            gpu.tuning.packed = false;
            if let Some(tiles) = tiles {
                tune::tune(&mut gpu, Some(tiles.floats)).await?;
            }
        }
        if let Some(Fault::LostAfter(steps)) = options.fault {
            gpu.lost_after = Some(steps);
        }
        Ok(Self { gpu })
    }

    /// Bytes that are allocated on the device, by all that was loaded and is still held.
    pub fn allocated_bytes(&self) -> u64 {
        self.gpu.allocated.load(Ordering::Relaxed)
    }

    /// Resolves once the device has done all that was asked of it so far; in a browser that includes compiling.
    pub fn idle(&self) -> LocalBoxFuture<'static, Result<(), BackendError>> {
        let gpu = self.gpu.clone();
        async move { readback::finished(&gpu, gpu.queue.submit([])).await }.boxed_local()
    }

    /// Destroys the device, so that a test can see what its loss does. The next call of anything that was
    /// loaded fails with [`BackendError::DeviceLost`]; a new probe finds a new device.
    #[doc(hidden)]
    pub fn lose_device(&self) {
        self.gpu.device.destroy();
    }

    pub(crate) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// What is known about the adapter.
    pub fn facts(&self) -> &AdapterFacts {
        &self.gpu.facts
    }
}

impl Backend for GpuBackend {
    fn begin<'a>(
        &'a self,
        graph: &'a Graph,
        table: &'a Gguf,
        options: ExecutorOptions,
    ) -> LocalBoxFuture<'a, Result<Option<Box<dyn BegunLoad>>, BackendError>> {
        async move {
            let begun = load::Begun::new(&self.gpu, graph, table, options).await?;
            Ok(Some(Box::new(begun) as Box<dyn BegunLoad>))
        }
        .boxed_local()
    }

    fn batch(&self) -> usize {
        tune::batch(self.gpu.tuning.rate)
    }

    fn describe(&self) -> BackendDescription {
        let facts = &self.gpu.facts;
        let features = [
            ("shader-f16", facts.f16),
            ("subgroups", facts.subgroups),
            ("packed-dots", facts.packed_dots),
            ("packed-rows", self.gpu.tuning.packed),
            ("software", facts.software),
        ];
        let known = features.iter().filter(|feature| feature.1).map(|feature| feature.0.to_owned());
        let tile = self.gpu.tuning.tiles.map(|tiles| format!("tile-{}", tiles.main()));
        BackendDescription { kind: BackendKind::Gpu, device: facts.name.clone(), features: known.chain(tile).collect() }
    }

    fn load<'a>(
        &'a self,
        graph: &'a Graph,
        file: WeightFile<'a>,
        options: ExecutorOptions,
        progress: &'a mut LoadProgress<'a>,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Executor>, BackendError>> {
        async move {
            let executor = load::load(&self.gpu, graph, file, options, progress).await?;
            Ok(Box::new(executor) as Box<dyn Executor>)
        }
        .boxed_local()
    }
}

pub(crate) fn no_adapter(reason: impl Into<String>) -> BackendError {
    BackendError::NoAdapter { reason: reason.into() }
}

pub(crate) async fn open(options: &GpuOptions) -> Result<Gpu, BackendError> {
    platform::check_environment()?;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY | wgpu::Backends::BROWSER_WEBGPU;
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let adapter = platform::choose_adapter(&instance, options).await?;
    let available = adapter.features();
    let mut wanted = wgpu::Features::TIMESTAMP_QUERY;
    if options.allow_f16 {
        wanted |= wgpu::Features::SHADER_F16;
    }
    if options.allow_subgroups {
        wanted |= wgpu::Features::SUBGROUP;
    }
    let features = available & wanted;
    let best = adapter.limits();
    let least = wgpu::Limits::default().or_worse_values_from(&best);
    let limits = if options.least_limits {
        least
    } else {
        wgpu::Limits {
            max_buffer_size: best.max_buffer_size,
            max_storage_buffer_binding_size: best.max_storage_buffer_binding_size,
            ..least
        }
    };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("nearside"),
        required_features: features,
        required_limits: limits,
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = platform::request_device(&adapter, &descriptor, options.allow_subgroups)
        .await
        .map_err(|error| no_adapter(format!("the adapter gave no device: {error}")))?;
    let failure = Failure::watch(&device);
    let facts = facts(&adapter.get_info(), &device, platform::has_packed_dots(&instance));
    if facts.software && !options.allow_software {
        let name = &facts.name;
        return Err(no_adapter(format!("the only adapter, {name}, is software, used only where the GPU is asked for")));
    }
    let tuning = Tuning::new(&facts, facts.software);
    Ok(Gpu {
        device,
        queue,
        facts,
        tuning,
        failure,
        pipelines: Pipelines::default(),
        allocated: Allocated::default(),
        lost_after: None,
    })
}

fn facts(info: &wgpu::AdapterInfo, device: &wgpu::Device, packed_dots: bool) -> AdapterFacts {
    let (features, limits) = (device.features(), device.limits());
    let (name, vendor) = platform::identity(info, device);
    let lower = name.to_lowercase();
    AdapterFacts {
        // Some browsers do not mark a software adapter as the fallback it is.
        software: info.device_type == wgpu::DeviceType::Cpu
            || ["swiftshader", "llvmpipe", "basic render"].iter().any(|known| lower.contains(known)),
        name,
        vendor,
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: platform::has_subgroups(device),
        packed_dots,
        timestamp_queries: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        max_buffer_size: limits.max_buffer_size,
        max_storage_binding_size: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
        max_workgroup_memory: limits.max_compute_workgroup_storage_size,
        max_workgroup_invocations: limits.max_compute_invocations_per_workgroup,
    }
}

pub(crate) async fn request_adapter(
    instance: &wgpu::Instance,
    options: &GpuOptions,
) -> Result<wgpu::Adapter, BackendError> {
    let power_preference = match options.power {
        PowerPreference::Low => wgpu::PowerPreference::LowPower,
        PowerPreference::High => wgpu::PowerPreference::HighPerformance,
    };
    instance
        .request_adapter(&wgpu::RequestAdapterOptions { power_preference, ..wgpu::RequestAdapterOptions::default() })
        .await
        .map_err(|error| no_adapter(error.to_string()))
}
