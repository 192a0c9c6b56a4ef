//! How long each kernel of a step takes, beside how fast the adapter copies.

use nearside_engine::backend::{
    BackendError, CacheId, Executor, ExecutorOptions, LoadProgress, Step, StepInput, TokenId, Want, WeightFile,
};
use nearside_engine::graph::Graph;
use wgpu::{BufferUsages, CommandEncoderDescriptor};

use crate::adapter::{Gpu, GpuBackend};
use crate::allocation::{Allocations, STORAGE};
use crate::encoding::{Pass, dispatches};
use crate::executor::{GpuExecutor, Left};
use crate::header::Header;
use crate::kernels::copy;
use crate::load::load;
use crate::plan::{Phase, plan};
use crate::reads;
use crate::stopwatch::{Stopwatch, medians};
use crate::warm_up::GREEDY;

/// All calls of one kernel at one shape in a step.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelTime {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Its matrix, or the width of what it writes.
    pub shape: String,
    /// How many calls there are.
    pub count: usize,
    /// What all of them take: for each the median of the rounds.
    pub microseconds: f64,
    /// Bytes of weights that one call reads.
    pub weight_bytes: u64,
    /// Products of two numbers in one call with a matrix.
    pub products: u64,
    /// What a plain copy takes that moves as many bytes as one call reads of weights; nothing for kernels without a
    /// matrix.
    pub copy_microseconds: Option<f64>,
}

/// The kernels of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTimes {
    /// Tokens in it.
    pub rows: usize,
    /// Where it begins.
    pub position: usize,
    /// How many dispatches it has.
    pub dispatches: usize,
    /// What it takes as it is in an answer: in one pass, all its dispatches one after the other.
    pub microseconds: f64,
    /// In the order of their first calls; each call was timed in a pass of its own.
    pub kernels: Vec<KernelTime>,
}

/// A plain copy within the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CopyTime {
    /// Bytes read and bytes written, together.
    pub bytes: u64,
    /// What that takes.
    pub microseconds: f64,
}

/// What [`GpuBackend::time_kernels`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelTimes {
    /// The adapter's own measure.
    pub copy: CopyTime,
    /// A step of one token, after as many as the prompt has.
    pub decode: StepTimes,
    /// The prompt's first step.
    pub prefill: StepTimes,
}

const PHASES: &[Phase] = &[Phase::Body, Phase::Tail, Phase::Head, Phase::Sample];

impl GpuBackend {
    /// Loads a model and times each kernel of a step that reads the beginning of a prompt, and of one that reads a
    /// token after it. Fails where the adapter has no timestamp queries.
    pub async fn time_kernels<'a>(
        &'a self,
        graph: &'a Graph,
        file: WeightFile<'a>,
        options: ExecutorOptions,
        prompt: &[TokenId],
        rounds: usize,
        progress: &'a mut LoadProgress<'a>,
    ) -> Result<KernelTimes, BackendError> {
        let gpu = self.gpu();
        // That there is no clock should be known before a large model is loaded.
        Stopwatch::new(gpu, 1).await?;
        load(gpu, graph, file, options, progress).await?.time_kernels(prompt, rounds.max(1)).await
    }
}

impl GpuExecutor {
    pub(crate) async fn time_kernels(
        &mut self,
        prompt: &[TokenId],
        rounds: usize,
    ) -> Result<KernelTimes, BackendError> {
        let cache = self.create_cache()?;
        let batch = self.options.batch;
        let mut position = 0;
        for chunk in prompt.chunks(batch) {
            let ticket = self.submit(Step { cache, position, input: StepInput::Tokens(chunk), want: Want::Nothing })?;
            self.collect(ticket).await?;
            position += chunk.len();
        }
        let mut decode = self.time_step(cache, position, &prompt[..1], rounds).await?;
        let mut prefill = self.time_step(cache, 0, &prompt[..prompt.len().min(batch)], rounds).await?;
        self.drop_cache(cache);
        let mut sizes: Vec<u64> = vec![0];
        let mut kernels: Vec<_> = decode.kernels.iter_mut().chain(&mut prefill.kernels).collect();
        sizes.extend(kernels.iter().map(|kernel| kernel.weight_bytes));
        let copies = copies(&self.gpu, &sizes, rounds).await?;
        for (kernel, copy) in kernels.iter_mut().zip(&copies[1..]) {
            kernel.copy_microseconds = (kernel.products > 0).then_some(copy.microseconds);
        }
        Ok(KernelTimes { copy: copies[0], decode, prefill })
    }

    /// Times one step: kernel by kernel, and as a whole.
    async fn time_step(
        &mut self,
        cache: CacheId,
        position: usize,
        tokens: &[TokenId],
        rounds: usize,
    ) -> Result<StepTimes, BackendError> {
        let rules = [GREEDY];
        let input = StepInput::Tokens(tokens);
        let step = Step { cache, position, input, want: Want::Sample(&rules, 2) };
        let rows = self.check(&step)?;
        self.write_step(&step, rows);
        self.left = Left::Nothing;
        let wanted = Pass { phases: PHASES, cache: Some(cache), rows, choices: 1 };
        let count = dispatches(&self.bound, self.cache_of(&wanted), &wanted).count();
        let stopwatch = Stopwatch::new(&self.gpu, count + 1).await?;
        let mut times = Vec::new();
        // One round more, which warms everything up.
        for round in 0..=rounds {
            let mut encoder = self.encoder();
            for (index, encoded) in dispatches(&self.bound, self.cache_of(&wanted), &wanted).enumerate() {
                encoded.encode(&mut encoder.begin_compute_pass(&stopwatch.pass(index)));
            }
            {
                let mut pass = encoder.begin_compute_pass(&stopwatch.pass(count));
                for encoded in dispatches(&self.bound, self.cache_of(&wanted), &wanted) {
                    encoded.encode(&mut pass);
                }
            }
            let found = stopwatch.submit(&self.gpu, encoder).await?;
            if round > 0 {
                times.push(found);
            }
        }
        let mut times = medians(&times);
        let microseconds = times.pop().unwrap_or(0.0);
        let kernels = self.kernels(&wanted, &times)?;
        Ok(StepTimes { rows, position, dispatches: count, microseconds, kernels })
    }

    /// The times of a pass's dispatches by kernel and shape.
    fn kernels(&self, wanted: &Pass, times: &[f64]) -> Result<Vec<KernelTime>, BackendError> {
        let resources = &self.resources;
        let plan = plan(&self.graph, &resources.weights, &resources.adapters, self.gpu.tuning, self.options)?;
        let calls = plan.calls.iter().flat_map(|planned| {
            let rows = wanted.rows(planned.phase);
            let calls = rows.map_or(&[][..], |rows| planned.calls.of(rows));
            calls.iter().map(move |call| (call, rows.unwrap_or(0)))
        });
        let mut kernels: Vec<KernelTime> = Vec::new();
        for ((call, rows), time) in calls.zip(times) {
            let kernel = call.program.label;
            let (shape, elements) = reads::shape(&self.graph, resources, call);
            let same = |held: &&mut KernelTime| held.kernel == kernel && held.shape == shape;
            if let Some(held) = kernels.iter_mut().find(same) {
                held.count += 1;
                held.microseconds += time;
                continue;
            }
            kernels.push(KernelTime {
                kernel,
                shape,
                count: 1,
                microseconds: *time,
                weight_bytes: reads::weight_bytes(resources, call),
                products: elements * rows as u64,
                copy_microseconds: None,
            });
        }
        Ok(kernels)
    }
}

/// Bytes of a buffer that is copied: much more than any cache holds, but on a software adapter time counts.
const COPIED: u64 = 512 << 20;
const COPIED_IN_SOFTWARE: u64 = 16 << 20;

/// Plain copies that move so many bytes each, or as many as there is room for where it is 0. What is copied lies
/// elsewhere each time, so that no cache holds it.
async fn copies(gpu: &Gpu, sizes: &[u64], rounds: usize) -> Result<Vec<CopyTime>, BackendError> {
    const UNIT: u64 = 256;
    let most = if gpu.facts.software { COPIED_IN_SOFTWARE } else { COPIED };
    let room = most.min(gpu.facts.max_storage_binding_size).min(gpu.facts.max_buffer_size) / UNIT * UNIT;
    let mut allocations = Allocations::new(gpu);
    let mut buffer = async || allocations.buffer(gpu, room, STORAGE, "a plain copy").await;
    let (original, copied) = (buffer().await?, buffer().await?);
    // Memory that holds nothing but zeros may be compressed.
    let mut random = crate::arbitrary::Random::new(1);
    let words: Vec<u64> = (0..room.min(4 << 20) / 8).map(|_| random.next()).collect();
    let pattern: &[u8] = bytemuck::cast_slice(&words);
    for start in (0..room).step_by(pattern.len()) {
        let end = pattern.len().min((room - start) as usize);
        gpu.queue.write_buffer(&original, start, &pattern[..end]);
    }

    let program = copy::program();
    let compiled = gpu.pipelines.get(gpu, &program);
    let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
    let header = allocations.buffer(gpu, Header::BYTES, usage, "a plain copy").await?;
    let mut groups = Vec::new();
    let mut offset = 0;
    for size in sizes {
        // Half of what is moved is read and half is written; what there is no room for is extrapolated.
        let length = if *size == 0 { room } else { (size / 2).next_multiple_of(UNIT).min(room) };
        if offset + length > room {
            offset = 0;
        }
        let params = copy::Params { vectors: (length / 16) as u32 };
        let uniform = allocations.buffer(gpu, Header::BYTES, usage, "a plain copy").await?;
        gpu.queue.write_buffer(&uniform, 0, bytemuck::cast_slice(&params.words()));
        let part = |buffer| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size: wgpu::BufferSize::new(length) })
        };
        let resources = [header.as_entire_binding(), uniform.as_entire_binding(), part(&original), part(&copied)];
        let entries: Vec<_> =
            (0..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &compiled.layout,
            entries: &entries,
        });
        groups.push((group, params.grid().workgroups(1), length));
        offset += length;
    }

    let stopwatch = Stopwatch::new(gpu, groups.len()).await?;
    let mut times = Vec::new();
    for round in 0..=rounds {
        let mut encoder = gpu.device.create_command_encoder(&CommandEncoderDescriptor::default());
        for (index, (group, (x, y), _)) in groups.iter().enumerate() {
            let mut pass = encoder.begin_compute_pass(&stopwatch.pass(index));
            pass.set_pipeline(&compiled.pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(*x, *y, 1);
        }
        let found = stopwatch.submit(gpu, encoder).await?;
        if round > 0 {
            times.push(found);
        }
    }
    let found = medians(&times).into_iter().zip(&groups).zip(sizes).map(|((time, (_, _, length)), size)| {
        let moved = 2 * length;
        let bytes = if *size == 0 { moved } else { *size };
        CopyTime { bytes, microseconds: time * bytes as f64 / moved as f64 }
    });
    Ok(found.collect())
}
