//! Runs a graph, operation by operation.

mod choose;
mod operations;
mod plan;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::{
    AdapterId, BackendError, CacheId, Counters, Executor, ExecutorOptions, HeldChoice, LowRanks, MAX_CHOICES, Step,
    StepInput, StepOutput, Ticket, TokenId, Want,
};
use nearside_engine::graph::{Graph, Op, Slot};

use crate::adapters::Adapters;
use crate::cache::Cache;
use crate::lookup::Lookup;
use crate::matrix::{Matrix, Rooms};
use crate::pool::Pool;
use plan::Plan;

/// A weight, held the way its operations read it.
pub(crate) enum Held {
    /// Multiplied, or looked up row by row.
    Matrix(Box<dyn Matrix>),
    /// Looked up row by row, in the file.
    Lookup(Lookup),
    /// A norm's factors or a bias.
    Vector(Vec<f32>),
}

/// A loaded model.
pub(crate) struct CpuExecutor {
    pool: Arc<Pool>,
    graph: Graph,
    plan: Plan,
    weights: Vec<Held>,
    options: ExecutorOptions,
    buffers: Buffers,
    adapters: Adapters,
    caches: HashMap<usize, Cache>,
    next_cache: usize,
    /// What the step or choice before this one chose.
    sampled: Option<TokenId>,
    /// Whether the step before this one held its logits.
    held: bool,
    outputs: VecDeque<(u64, StepOutput)>,
    next_ticket: u64,
    counters: Counters,
}

/// What operations write into, kept from step to step.
struct Buffers {
    /// One for each slot of the graph.
    slots: Vec<Vec<f32>>,
    /// What cannot be written to its slot at once.
    scratch: Vec<f32>,
    attention: Vec<f32>,
    rooms: Rooms,
    /// The slot whose values `rooms` may hold rounded.
    rounded: Option<Slot>,
}

/// Outputs that nobody collects are thrown away beyond so many.
const MOST_OUTPUTS: usize = 16;

fn invalid(problem: impl Into<String>) -> BackendError {
    BackendError::InvalidStep { problem: problem.into() }
}

impl CpuExecutor {
    pub(crate) fn new(
        pool: Arc<Pool>,
        graph: Graph,
        weights: Vec<Held>,
        options: ExecutorOptions,
        weight_bytes: u64,
    ) -> Result<Self, BackendError> {
        let options = ExecutorOptions { choices: options.choices.clamp(1, MAX_CHOICES), ..options };
        let plan = Plan::new(&graph, options.batch)?;
        let mut slots = vec![Vec::new(); graph.slots.len()];
        plan.reserve(&graph, &mut slots, options.batch, 1)?;
        let buffers =
            Buffers { slots, scratch: Vec::new(), attention: Vec::new(), rooms: Rooms::default(), rounded: None };
        Ok(Self {
            pool,
            graph,
            plan,
            weights,
            options,
            buffers,
            adapters: Adapters::default(),
            caches: HashMap::new(),
            next_cache: 0,
            sampled: None,
            held: false,
            outputs: VecDeque::new(),
            next_ticket: 0,
            counters: Counters { weight_bytes, ..Counters::default() },
        })
    }

    fn run(&mut self, step: Step<'_>) -> Result<StepOutput, BackendError> {
        let sampled = self.sampled.take();
        self.held = false;
        let single;
        let tokens = match step.input {
            StepInput::Tokens(tokens) => tokens,
            StepInput::Sampled => {
                single = [sampled.ok_or_else(|| invalid("the step before it chose no token"))?];
                &single[..]
            }
        };
        // Taken out while it is used and put back whatever happens: other steps may go on from before.
        let mut cache =
            self.caches.remove(&step.cache.0).ok_or_else(|| invalid(format!("there is no cache {}", step.cache.0)))?;
        let checked = self.check(&step, tokens, &cache);
        let result = checked.and_then(|()| self.run_operations(&step, tokens, &mut cache));
        self.caches.insert(step.cache.0, cache);
        result
    }

    fn check(&self, step: &Step<'_>, tokens: &[TokenId], cache: &Cache) -> Result<(), BackendError> {
        let ExecutorOptions { context, batch, choices, .. } = self.options;
        if tokens.is_empty() || tokens.len() > batch {
            return Err(invalid(format!("{} tokens, between 1 and {batch} expected", tokens.len())));
        }
        if step.position > cache.length {
            return Err(invalid(format!("position {} leaves a gap after the {} filled", step.position, cache.length)));
        }
        if step.position.checked_add(tokens.len()).is_none_or(|end| end > context) {
            return Err(invalid(format!(
                "{} tokens from position {} do not fit in {context}",
                tokens.len(),
                step.position
            )));
        }
        if let Want::Sample(rules, _) = step.want {
            let most = choices.min(tokens.len());
            if rules.is_empty() || rules.len() > most {
                return Err(invalid(format!("{} choices, between 1 and {most} expected", rules.len())));
            }
        }
        let vocabulary = self.graph.vocabulary;
        match tokens.iter().find(|token| **token as usize >= vocabulary) {
            Some(token) => Err(invalid(format!("token {token} is outside the vocabulary of {vocabulary}"))),
            None => Ok(()),
        }
    }

    fn run_operations(
        &mut self,
        step: &Step<'_>,
        tokens: &[TokenId],
        cache: &mut Cache,
    ) -> Result<StepOutput, BackendError> {
        let end = step.position + tokens.len();
        cache.reserve(step.position, end)?;
        cache.length = step.position;
        let chosen = match step.want {
            Want::Sample(rules, _) => rules.len(),
            _ => 1,
        };
        self.plan.reserve(&self.graph, &mut self.buffers.slots, self.options.batch, chosen)?;
        self.plan.fill_angles(step.position, tokens.len());
        self.counters.steps += 1;
        self.counters.submits += 1;
        self.buffers.rounded = None;
        let mut rows = tokens.len();
        for index in 0..self.plan.operations(step.want, self.graph.ops.len()) {
            self.run_operation(index, step.position, tokens, (rows, chosen), cache)?;
            if matches!(self.graph.ops[index], Op::LastRows { .. }) {
                rows = chosen;
            }
            self.counters.dispatches += 1;
        }
        cache.length = end;
        match step.want {
            Want::Nothing => Ok(StepOutput::default()),
            Want::Hold => {
                self.held = true;
                Ok(StepOutput::default())
            }
            Want::Hidden => {
                let hidden = &self.buffers.slots[self.graph.hidden.0];
                let hidden = hidden[..tokens.len() * self.graph.slots[self.graph.hidden.0]].to_vec();
                Ok(StepOutput { hidden, ..StepOutput::default() })
            }
            Want::Logits => Ok(StepOutput { logits: self.logits(0).to_vec(), ..StepOutput::default() }),
            Want::Sample(rules, candidates) => self.choose_rows(rules, candidates),
        }
    }

    /// Keeps an output until it is collected.
    fn keep(&mut self, output: StepOutput) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if self.outputs.len() == MOST_OUTPUTS {
            self.outputs.pop_front();
        }
        self.outputs.push_back((ticket, output));
        Ticket(ticket)
    }

    fn add_cache(&mut self, cache: Cache) -> CacheId {
        let id = self.next_cache;
        self.next_cache += 1;
        self.caches.insert(id, cache);
        CacheId(id)
    }
}

impl Executor for CpuExecutor {
    fn options(&self) -> ExecutorOptions {
        self.options
    }

    fn create_cache(&mut self) -> Result<CacheId, BackendError> {
        Ok(self.add_cache(Cache::new(&self.graph.caches, self.options.cache)))
    }

    fn drop_cache(&mut self, cache: CacheId) {
        self.caches.remove(&cache.0);
    }

    fn fork_cache(&mut self, from: CacheId, length: usize) -> Result<CacheId, BackendError> {
        let cache = self.caches.get(&from.0).ok_or_else(|| invalid(format!("there is no cache {}", from.0)))?;
        if length > cache.length {
            return Err(invalid(format!("a fork at {length} of a cache of {}", cache.length)));
        }
        let fork = cache.fork(length);
        Ok(self.add_cache(fork))
    }

    fn submit(&mut self, step: Step<'_>) -> Result<Ticket, BackendError> {
        let output = self.run(step)?;
        Ok(self.keep(output))
    }

    fn choose(&mut self, choice: HeldChoice<'_>) -> Result<Ticket, BackendError> {
        let output = self.choose_held(&choice)?;
        Ok(self.keep(output))
    }

    fn add_adapter(&mut self, parts: &mut LowRanks<'_>) -> Result<AdapterId, BackendError> {
        self.adapters.add(&self.graph, parts)
    }

    fn use_adapters(&mut self, active: &[(AdapterId, f32)]) -> Result<(), BackendError> {
        self.adapters.activate(active)
    }

    fn drop_adapter(&mut self, adapter: AdapterId) {
        self.adapters.remove(adapter);
    }

    fn collect(&mut self, ticket: Ticket) -> LocalBoxFuture<'_, Result<StepOutput, BackendError>> {
        let mut found = None;
        while self.outputs.front().is_some_and(|(number, _)| *number <= ticket.0) {
            found = self.outputs.pop_front();
        }
        let result = match found {
            Some((number, output)) if number == ticket.0 => Ok(output),
            _ => Err(invalid(format!("ticket {} is not in flight", ticket.0))),
        };
        std::future::ready(result).boxed_local()
    }

    fn steps_in_flight(&self) -> usize {
        1
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
