//! Steps.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::{
    AdapterId, BackendError, CacheId, Counters, Executor, ExecutorOptions, HeldChoice, LogitChange, LowRanks,
    SampleRule, Step, StepInput, StepOutput, Ticket, Want,
};
use nearside_engine::graph::Graph;
use wgpu::CommandEncoder;

use crate::adapter::Gpu;
use crate::allocation::{Allocations, STORAGE, Verdict, settle};
use crate::binding::{Resources, StepLayout};
use crate::bound::{self, Bound};
use crate::cache::{Cache, CacheBuffers};
use crate::encoding::Pass;
use crate::header::{Header, candidates_for, rule_words};
use crate::kernels::change_logits::{mask_words, most_changes};
use crate::kernels::rope;
use crate::low_rank::Adapter;
use crate::plan::{Phase, Turns, plan, stride};
use crate::readback::{Readback, Wanted};

/// What the step or choice submitted last left on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// So many chosen tokens.
    Tokens(usize),
    /// The last row's logits.
    Logits,
}

/// A model on the device.
///
/// Up to four tickets may be outstanding. Submitting more discards the oldest ones, and collecting a
/// ticket discards those before it; a discarded ticket gives [`BackendError::InvalidStep`].
pub(crate) struct GpuExecutor {
    pub(crate) gpu: Gpu,
    pub(crate) graph: Graph,
    pub(crate) options: ExecutorOptions,
    pub(crate) resources: Resources,
    pub(crate) bound: Bound,
    pub(crate) turns: Vec<Turns>,
    pub(crate) caches: Vec<Option<Cache>>,
    pub(crate) readback: Readback,
    /// On allocations whose success is not known yet.
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) left: Left,
    pub(crate) next_ticket: u64,
    pub(crate) counters: Counters,
    /// The step's buffer as it is written, kept for its room.
    pub(crate) staging: Vec<u32>,
    /// The cache that the first conversation gets.
    pub(crate) spare: Option<Cache>,
    pub(crate) _allocations: Allocations,
}

fn invalid<T>(problem: impl Into<String>) -> Result<T, BackendError> {
    Err(BackendError::InvalidStep { problem: problem.into() })
}

impl GpuExecutor {
    /// How many rows a step has, if it keeps the contract.
    pub(crate) fn check(&self, step: &Step<'_>) -> Result<usize, BackendError> {
        let Some(cache) = self.cache(step.cache) else {
            return invalid(format!("there is no cache {}", step.cache.0));
        };
        let vocabulary = self.graph.vocabulary;
        let rows = match step.input {
            StepInput::Sampled if !matches!(self.left, Left::Tokens(_)) => {
                return invalid("the step before sampled no token");
            }
            StepInput::Sampled => 1,
            StepInput::Tokens(tokens) => {
                if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
                    return invalid(format!("token {token} is not in the vocabulary of {vocabulary}"));
                }
                tokens.len()
            }
        };
        let ExecutorOptions { context, batch, choices, .. } = self.options;
        if rows == 0 || rows > batch {
            return invalid(format!("{rows} tokens, expected 1 to {batch}"));
        }
        if let Want::Sample(rules, _) = step.want
            && (rules.is_empty() || rules.len() > choices.min(rows))
        {
            let (rules, most) = (rules.len(), choices.min(rows));
            return invalid(format!("{rules} rules for a step of {rows}, expected 1 to {most}"));
        }
        if step.position > cache.length {
            return invalid(format!("position {} is beyond the cache's {} positions", step.position, cache.length));
        }
        if step.position.checked_add(rows).is_none_or(|end| end > context) {
            return invalid(format!("{rows} tokens at position {} do not fit a context of {context}", step.position));
        }
        Ok(rows)
    }

    fn cache(&self, cache: CacheId) -> Option<&Cache> {
        self.caches.get(cache.0)?.as_ref()
    }

    /// Starts the step's buffer with what every kernel is told and the rules.
    fn stage(&mut self, header: Header, rules: &[SampleRule]) {
        self.staging.clear();
        self.staging.extend(header.words());
        if !rules.is_empty() {
            self.staging.resize(StepLayout::RULES as usize / 4, 0);
            self.staging.extend(rules.iter().flat_map(rule_words));
        }
    }

    /// Writes everything that differs from step to step, in one go.
    pub(crate) fn write_step(&mut self, step: &Step<'_>, rows: usize) {
        let mut header = Header::new(step.position, rows);
        let mut rules = &[][..];
        if let Want::Sample(wanted, reported) = step.want {
            rules = wanted;
            header.candidates = candidates_for(rules, reported);
            header.choices = rules.len() as u32;
        }
        if let (StepInput::Sampled, Left::Tokens(count)) = (step.input, self.left) {
            header.sampled = count as u32;
        }
        self.stage(header, rules);
        let layout = self.resources.layout;
        if let StepInput::Tokens(tokens) = step.input {
            self.staging.resize(layout.tokens() as usize / 4, 0);
            self.staging.extend(tokens);
        }
        self.staging.resize(layout.turns() as usize / 4, 0);
        for position in step.position..step.position + rows {
            for Turns { frequencies, magnitude } in &self.turns {
                for [cosine, sine] in rope::turns(frequencies, *magnitude, position) {
                    self.staging.extend([cosine.to_bits(), sine.to_bits()]);
                }
            }
        }
        self.gpu.queue.write_buffer(&self.resources.step, 0, bytemuck::cast_slice(&self.staging));
    }

    /// Submits what was encoded and starts to wait for it.
    fn finish(&mut self, mut encoder: CommandEncoder, wanted: Wanted) -> Ticket {
        let staging = self.readback.copy(&mut encoder, wanted, &self.resources);
        let submission = self.gpu.queue.submit([encoder.finish()]);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.readback.submitted(&self.gpu, ticket, wanted, staging, submission);
        self.counters.submits += 1;
        Ticket(ticket)
    }

    pub(crate) fn encoder(&self) -> CommandEncoder {
        self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// An empty cache that is not yet among the executor's.
    fn new_cache(&mut self) -> Result<Cache, BackendError> {
        self.gpu.check()?;
        let (buffers, verdicts) = CacheBuffers::start(&self.gpu, &self.graph.caches, self.options)?;
        // A browser answers later; the next collect hears it.
        settle(verdicts, &mut self.verdicts)?;
        let groups = self.bound.bind_cache(&self.gpu, &self.resources, &buffers);
        self.late(buffers.allocations.count() + groups.len());
        Ok(Cache { buffers, groups, length: 0 })
    }

    fn keep_cache(&mut self, cache: Cache) -> CacheId {
        let free = self.caches.iter().position(Option::is_none);
        let index = free.unwrap_or(self.caches.len());
        match free {
            Some(index) => self.caches[index] = Some(cache),
            None => self.caches.push(Some(cache)),
        }
        CacheId(index)
    }

    /// Counts what was created after the first step.
    fn late(&mut self, resources: usize) {
        if self.counters.steps > 0 {
            self.counters.late_resources += resources as u64;
        }
    }

    /// Plans and binds anew, with the adapters that are active now.
    fn rebind(&mut self) -> Result<(), BackendError> {
        let rank = self.resources.adapters.rank();
        if rank > 0 {
            let mut allocations = Allocations::new(&self.gpu);
            let bytes = (stride(rank) * self.options.batch.next_multiple_of(8) * 4) as u64;
            let (buffer, verdict) = allocations.start(&self.gpu, bytes, STORAGE, "an adapter's inner products");
            settle(vec![verdict], &mut self.verdicts)?;
            self.resources.adapters.narrow = Some(buffer);
            self.resources.adapters.narrow_allocations = Some(allocations);
        }
        let Resources { weights, adapters, .. } = &self.resources;
        let plan = plan(&self.graph, weights, adapters, self.gpu.tuning, self.options)?;
        let scope = bound::scope(&self.gpu);
        let (bound, room) = Bound::new(&self.gpu, &self.resources, &plan);
        let mut made = bound.resources();
        for cache in self.caches.iter_mut().flatten().chain(&mut self.spare) {
            cache.groups = bound.bind_cache(&self.gpu, &self.resources, &cache.buffers);
            made += cache.groups.len();
        }
        self.bound = bound;
        self.late(made);
        settle(vec![bound::verdict(scope), room], &mut self.verdicts)
    }

    /// Writes what changes in the held logits, in several submissions if there is more than room for.
    fn write_changes(&mut self, choice: &HeldChoice<'_>) {
        let (mask, most) = (mask_words(self.graph.vocabulary), most_changes(self.graph.vocabulary));
        let mut rest = choice.changes;
        while rest.len() > most {
            let (some, more) = rest.split_at(most);
            rest = more;
            self.write_some_changes(some, None, mask);
            let header = Header { changes: some.len() as u32, ..Header::new(0, 1) };
            self.stage(header, &[]);
            self.gpu.queue.write_buffer(&self.resources.step, 0, bytemuck::cast_slice(&self.staging));
            let mut encoder = self.encoder();
            self.encode(&mut encoder, &Pass { phases: &[Phase::Change], cache: None, rows: 1, choices: 1 });
            self.gpu.queue.submit([encoder.finish()]);
            self.counters.submits += 1;
        }
        self.write_some_changes(rest, choice.allowed, mask);
        let header = Header {
            candidates: candidates_for(&[choice.rule], choice.candidates),
            changes: rest.len() as u32,
            masked: u32::from(choice.allowed.is_some()),
            ..Header::new(0, 1)
        };
        self.stage(header, &[choice.rule]);
        self.gpu.queue.write_buffer(&self.resources.step, 0, bytemuck::cast_slice(&self.staging));
    }

    fn write_some_changes(&mut self, changes: &[LogitChange], allowed: Option<&[u32]>, mask: usize) {
        if let Some(allowed) = allowed {
            self.staging.clear();
            self.staging.extend(allowed.iter().take(mask));
            self.staging.resize(mask, 0);
            self.gpu.queue.write_buffer(&self.resources.changes, 0, bytemuck::cast_slice(&self.staging));
        }
        if changes.is_empty() {
            return;
        }
        self.staging.clear();
        let words = |change: &LogitChange| [change.token, change.divisor.to_bits(), change.bias.to_bits()];
        self.staging.extend(changes.iter().flat_map(words));
        self.gpu.queue.write_buffer(&self.resources.changes, mask as u64 * 4, bytemuck::cast_slice(&self.staging));
    }

    /// Whether a choice keeps the contract.
    fn check_choice(&self, choice: &HeldChoice<'_>) -> Result<(), BackendError> {
        if self.left != Left::Logits {
            return invalid("the step before held no logits");
        }
        // Only bits of tokens that exist allow something.
        let vocabulary = self.graph.vocabulary;
        let exists = |word: usize| u32::MAX >> (32 - (vocabulary - 32 * word).min(32));
        let allows =
            |allowed: &[u32]| (0..mask_words(vocabulary)).zip(allowed).any(|(word, bits)| bits & exists(word) != 0);
        if choice.allowed.is_some_and(|allowed| !allows(allowed)) {
            return invalid("no token is allowed");
        }
        Ok(())
    }
}

impl Executor for GpuExecutor {
    fn options(&self) -> ExecutorOptions {
        self.options
    }

    fn create_cache(&mut self) -> Result<CacheId, BackendError> {
        self.gpu.check()?;
        let cache = match self.spare.take() {
            Some(cache) => cache,
            None => self.new_cache()?,
        };
        Ok(self.keep_cache(cache))
    }

    fn drop_cache(&mut self, cache: CacheId) {
        if let Some(cache) = self.caches.get_mut(cache.0) {
            *cache = None;
        }
    }

    fn fork_cache(&mut self, from: CacheId, length: usize) -> Result<CacheId, BackendError> {
        let Some(filled) = self.cache(from).map(|cache| cache.length) else {
            return invalid(format!("there is no cache {}", from.0));
        };
        if length > filled {
            return invalid(format!("cache {} holds {filled} positions, not {length}", from.0));
        }
        let mut fork = self.new_cache()?;
        fork.length = length;
        let mut encoder = self.encoder();
        if let Some(from) = self.cache(from).filter(|_| length > 0) {
            fork.buffers.copy_from(&mut encoder, &from.buffers, &self.graph.caches, self.options, length);
        }
        self.gpu.queue.submit([encoder.finish()]);
        self.counters.submits += 1;
        Ok(self.keep_cache(fork))
    }

    fn choose(&mut self, choice: HeldChoice<'_>) -> Result<Ticket, BackendError> {
        self.gpu.check()?;
        self.check_choice(&choice)?;
        self.write_changes(&choice);
        let changed = !choice.changes.is_empty() || choice.allowed.is_some();
        let phases: &[_] = if changed { &[Phase::Change, Phase::Sample] } else { &[Phase::Sample] };
        let mut encoder = self.encoder();
        self.encode(&mut encoder, &Pass { phases, cache: None, rows: 1, choices: 1 });
        self.left = Left::Tokens(1);
        Ok(self.finish(encoder, Wanted::Sample { choices: 1, candidates: choice.candidates.max(2) }))
    }

    fn add_adapter(&mut self, parts: &mut LowRanks<'_>) -> Result<AdapterId, BackendError> {
        self.gpu.check()?;
        let mut adapter = Adapter::new(&self.gpu);
        let mut verdicts = Vec::new();
        for part in parts {
            adapter.add(&self.gpu, &self.graph, &part?, &mut verdicts)?;
        }
        settle(verdicts, &mut self.verdicts)?;
        self.late(adapter.buffers());
        Ok(AdapterId(self.resources.adapters.keep(adapter)))
    }

    fn use_adapters(&mut self, active: &[(AdapterId, f32)]) -> Result<(), BackendError> {
        self.gpu.check()?;
        for (adapter, factor) in active {
            if self.resources.adapters.parts(adapter.0).is_none() {
                return invalid(format!("there is no adapter {}", adapter.0));
            }
            if !factor.is_finite() {
                return invalid(format!("adapter {} cannot be used {factor} times", adapter.0));
            }
        }
        let active: Vec<_> = active.iter().map(|(adapter, factor)| (adapter.0, *factor)).collect();
        if self.resources.adapters.active == active {
            return Ok(());
        }
        self.resources.adapters.active = active;
        self.rebind()
    }

    fn drop_adapter(&mut self, adapter: AdapterId) {
        let active = &mut self.resources.adapters.active;
        let used = active.len();
        active.retain(|(used, _)| *used != adapter.0);
        // Nothing of what is bound may outlast its buffers. Should binding fail, the next step says so.
        if active.len() < used
            && let Err(error) = self.rebind()
        {
            self.gpu.failure.set(error);
        }
        self.resources.adapters.remove(adapter.0);
    }

    fn submit(&mut self, step: Step<'_>) -> Result<Ticket, BackendError> {
        if self.gpu.lost_after == Some(self.counters.steps) {
            self.gpu.device.destroy();
        }
        self.gpu.check()?;
        let rows = self.check(&step)?;
        let (wanted, phases): (_, &[_]) = match step.want {
            Want::Nothing => (Wanted::Nothing, &[Phase::Body]),
            Want::Sample(rules, reported) => (
                Wanted::Sample { choices: rules.len(), candidates: reported.max(2) },
                &[Phase::Body, Phase::Tail, Phase::Head, Phase::Sample],
            ),
            Want::Logits => (Wanted::Logits, &[Phase::Body, Phase::Tail, Phase::Head]),
            Want::Hold => (Wanted::Nothing, &[Phase::Body, Phase::Tail, Phase::Head]),
            Want::Hidden => (Wanted::Hidden(rows), &[Phase::Body, Phase::Tail]),
        };
        if let Wanted::Hidden(_) = wanted
            && let Some(verdict) = self.readback.prepare_hidden(&self.gpu)
        {
            settle(vec![verdict], &mut self.verdicts)?;
            self.late(1);
        }
        self.write_step(&step, rows);
        let choices = if let Wanted::Sample { choices, .. } = wanted { choices } else { 1 };
        let mut encoder = self.encoder();
        self.encode(&mut encoder, &Pass { phases, cache: Some(step.cache), rows, choices });
        let ticket = self.finish(encoder, wanted);
        if let Some(Some(cache)) = self.caches.get_mut(step.cache.0) {
            cache.length = step.position + rows;
        }
        self.left = match step.want {
            Want::Sample(..) => Left::Tokens(choices),
            Want::Hold => Left::Logits,
            _ => Left::Nothing,
        };
        self.counters.steps += 1;
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket) -> LocalBoxFuture<'_, Result<StepOutput, BackendError>> {
        async move {
            self.gpu.check()?;
            while let Some(verdict) = self.verdicts.pop() {
                verdict.await?;
            }
            // With another step behind it the device goes on while its result is waited for.
            if ticket.0 + 1 == self.next_ticket {
                self.counters.blocking_syncs += 1;
            }
            self.readback.collect(&self.gpu, &ticket).await
        }
        .boxed_local()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
