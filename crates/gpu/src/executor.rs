//! Steps.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::{
    AdapterId, BackendError, CacheId, Counters, Executor, ExecutorOptions, HeldChoice, LowRanks, Step, StepInput,
    StepOutput, Ticket, Want,
};
use nearside_engine::graph::CacheShape;
use wgpu::{BindGroup, ComputePipeline};

use crate::adapter::Gpu;
use crate::allocation::{Allocations, Verdict};
use crate::binding::{Recipe, Resources, StepLayout};
use crate::cache::{Cache, CacheBuffers};
use crate::header::Header;
use crate::kernels::{Grid, rope};
use crate::plan::{Phase, Turns};
use crate::readback::{Readback, Wanted};

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
}

/// What one operation runs in a step of one row and in one of several.
pub(crate) struct Operation {
    pub(crate) phase: Phase,
    pub(crate) single: Dispatch,
    pub(crate) many: Option<Dispatch>,
}

/// A model on the device.
///
/// Up to four tickets may be outstanding. Submitting more discards the oldest ones, and collecting a
/// ticket discards those before it; a discarded ticket gives [`BackendError::InvalidStep`].
pub(crate) struct GpuExecutor {
    pub(crate) gpu: Gpu,
    pub(crate) options: ExecutorOptions,
    pub(crate) resources: Resources,
    pub(crate) operations: Vec<Operation>,
    pub(crate) recipes: Vec<Recipe>,
    pub(crate) turns: Vec<Turns>,
    pub(crate) caches: Vec<Option<Cache>>,
    pub(crate) shapes: Vec<CacheShape>,
    /// One more than the largest token.
    pub(crate) table_rows: usize,
    pub(crate) logits: usize,
    pub(crate) readback: Readback,
    /// On allocations whose success is not known yet.
    pub(crate) verdicts: Vec<Verdict>,
    /// Whether the last step left a token on the device.
    pub(crate) sampled: bool,
    pub(crate) next_ticket: u64,
    pub(crate) counters: Counters,
    /// The step's buffer as it is written, kept for its room.
    pub(crate) staging: Vec<u32>,
    pub(crate) _allocations: Allocations,
}

fn invalid<T>(problem: impl Into<String>) -> Result<T, BackendError> {
    Err(BackendError::InvalidStep { problem: problem.into() })
}

fn unsupported(what: &str) -> BackendError {
    BackendError::Unsupported { what: what.to_owned(), backend: "GPU", remedy: "use the CPU backend" }
}

impl GpuExecutor {
    /// How many rows a step has, if it keeps the contract.
    fn check(&self, step: &Step<'_>) -> Result<usize, BackendError> {
        let Some(cache) = self.caches.get(step.cache.0).and_then(Option::as_ref) else {
            return invalid(format!("there is no cache {}", step.cache.0));
        };
        let rows = match step.input {
            StepInput::Sampled if !self.sampled => return invalid("the step before sampled no token"),
            StepInput::Sampled => 1,
            StepInput::Tokens(tokens) => {
                if let Some(token) = tokens.iter().find(|token| **token as usize >= self.table_rows) {
                    return invalid(format!("token {token} is not in the vocabulary of {}", self.table_rows));
                }
                tokens.len()
            }
        };
        let ExecutorOptions { context, batch, .. } = self.options;
        if rows == 0 || rows > batch {
            return invalid(format!("{rows} tokens, expected 1 to {batch}"));
        }
        if step.position > cache.length {
            return invalid(format!("position {} is beyond the cache's {} positions", step.position, cache.length));
        }
        if step.position.checked_add(rows).is_none_or(|end| end > context) {
            return invalid(format!("{rows} tokens at position {} do not fit a context of {context}", step.position));
        }
        Ok(rows)
    }

    /// Writes everything that differs from step to step, in one go.
    fn write_step(&mut self, step: &Step<'_>, rows: usize) {
        let mut header = Header::new(step.position, rows);
        if let Want::Sample([rule, ..], reported) = step.want {
            header.candidates = Header::candidates_for(rule, reported);
            header.set_rule(rule);
        }
        self.staging.clear();
        if let StepInput::Tokens(tokens) = step.input {
            self.staging.extend(header.words());
            self.staging.resize(StepLayout::TOKENS as usize / 4, 0);
            self.staging.extend(tokens);
        } else {
            header.sampled = 1;
            self.staging.extend(header.words());
        }
        self.staging.resize(self.resources.layout.turns() as usize / 4, 0);
        for position in step.position..step.position + rows {
            for Turns { frequencies, magnitude } in &self.turns {
                for [cosine, sine] in rope::turns(frequencies, *magnitude, position) {
                    self.staging.extend([cosine.to_bits(), sine.to_bits()]);
                }
            }
        }
        self.gpu.queue.write_buffer(&self.resources.step, 0, bytemuck::cast_slice(&self.staging));
    }

    /// Encodes the operations that the step needs.
    fn encode(&mut self, encoder: &mut wgpu::CommandEncoder, step: &Step<'_>, rows: usize) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for operation in &self.operations {
            let wanted = match (operation.phase, step.want) {
                (Phase::Body, _) | (Phase::Sample, Want::Sample(..)) => true,
                (Phase::Head, want) => want != Want::Nothing,
                (Phase::Sample, _) => false,
            };
            if !wanted {
                continue;
            }
            let rows = if operation.phase == Phase::Body { rows } else { 1 };
            let dispatch = operation.many.as_ref().filter(|_| rows > 1).unwrap_or(&operation.single);
            let group = match &dispatch.groups {
                Groups::Shared(group) => group,
                Groups::PerCache(index) => match &self.caches[step.cache.0] {
                    Some(cache) => &cache.groups[*index],
                    None => continue,
                },
            };
            let (x, y) = dispatch.grid.workgroups(rows as u32);
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(x, y, 1);
            self.counters.dispatches += 1;
        }
    }
}

impl Executor for GpuExecutor {
    fn options(&self) -> ExecutorOptions {
        self.options
    }

    fn create_cache(&mut self) -> Result<CacheId, BackendError> {
        self.gpu.failure.check()?;
        let (buffers, verdicts) = CacheBuffers::start(&self.gpu, &self.shapes, self.options.context)?;
        for mut verdict in verdicts {
            match (&mut verdict).now_or_never() {
                Some(result) => result?,
                // A browser answers later; the next collect hears it.
                None => self.verdicts.push(verdict),
            }
        }
        let groups: Vec<_> =
            self.recipes.iter().map(|recipe| self.resources.bind(&self.gpu, recipe, Some(&buffers))).collect();
        if self.counters.steps > 0 {
            self.counters.late_resources += (buffers.count() + groups.len()) as u64;
        }
        let cache = Some(Cache { _allocations: buffers.allocations, groups, length: 0 });
        let free = self.caches.iter().position(Option::is_none);
        let index = free.unwrap_or(self.caches.len());
        match free {
            Some(index) => self.caches[index] = cache,
            None => self.caches.push(cache),
        }
        Ok(CacheId(index))
    }

    fn drop_cache(&mut self, cache: CacheId) {
        if let Some(cache) = self.caches.get_mut(cache.0) {
            *cache = None;
        }
    }

    fn fork_cache(&mut self, _from: CacheId, _length: usize) -> Result<CacheId, BackendError> {
        Err(unsupported("forked caches"))
    }

    fn choose(&mut self, _choice: HeldChoice<'_>) -> Result<Ticket, BackendError> {
        Err(unsupported("held logits"))
    }

    fn add_adapter(&mut self, _parts: &mut LowRanks<'_>) -> Result<AdapterId, BackendError> {
        Err(unsupported("an adapter"))
    }

    fn use_adapters(&mut self, _active: &[(AdapterId, f32)]) -> Result<(), BackendError> {
        Err(unsupported("an adapter"))
    }

    fn drop_adapter(&mut self, _adapter: AdapterId) {}

    fn submit(&mut self, step: Step<'_>) -> Result<Ticket, BackendError> {
        self.gpu.failure.check()?;
        let rows = self.check(&step)?;
        let wanted = match step.want {
            Want::Nothing => Wanted::Nothing,
            Want::Sample(rules, _) if rules.len() != 1 => return Err(unsupported("several choices a step")),
            Want::Sample(_, reported) => Wanted::Sample(reported.max(2)),
            Want::Logits => Wanted::Logits,
            Want::Hold => return Err(unsupported("held logits")),
            Want::Hidden => return Err(unsupported("hidden states")),
        };
        self.write_step(&step, rows);
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.encode(&mut encoder, &step, rows);
        let staging =
            self.readback.copy(&mut encoder, wanted, &self.resources.result, &self.resources.slots[self.logits]);
        let submission = self.gpu.queue.submit([encoder.finish()]);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.readback.submitted(&self.gpu, ticket, wanted, staging, submission);
        if let Some(Some(cache)) = self.caches.get_mut(step.cache.0) {
            cache.length = step.position + rows;
        }
        self.sampled = matches!(wanted, Wanted::Sample(_));
        self.counters.steps += 1;
        self.counters.submits += 1;
        self.counters.passes += 1;
        Ok(Ticket(ticket))
    }

    fn collect(&mut self, ticket: Ticket) -> LocalBoxFuture<'_, Result<StepOutput, BackendError>> {
        async move {
            self.gpu.failure.check()?;
            while let Some(verdict) = self.verdicts.pop() {
                verdict.await?;
            }
            self.readback.collect(&self.gpu, &ticket).await
        }
        .boxed_local()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
