//! A backend without weights: what it answers follows from every token in its cache and from the adapters that were
//! in use when each was read, so any mistake in keeping caches shows as other tokens.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::{
    AdapterId, Backend, BackendDescription, BackendError, BackendKind, CacheId, Choice, Counters, Executor,
    ExecutorOptions, HeldChoice, LoadProgress, LowRank, LowRanks, MAX_CANDIDATES, SampleRule, Step, StepInput,
    StepOutput, Ticket, TokenId, Want, WeightFile,
};
use nearside_engine::graph::Graph;
use nearside_engine::sampling::{adjust, choose, log_sum_exp, top_candidates};

/// What the tests see of it.
#[derive(Default)]
pub(crate) struct Seen {
    /// Tokens that each step read: how many, and how many choices it made.
    pub(crate) steps: RefCell<Vec<(usize, usize)>>,
    /// Positions copied by each fork.
    pub(crate) forks: RefCell<Vec<usize>>,
    /// Caches there are.
    pub(crate) caches: Cell<usize>,
    /// The parts of every adapter taken.
    pub(crate) adapters: RefCell<Vec<Vec<LowRank>>>,
}

impl Seen {
    /// Tokens read since the last call.
    pub(crate) fn take_read(&self) -> usize {
        self.steps.take().iter().map(|(tokens, _)| tokens).sum()
    }
}

/// How the next token follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Unforeseeable.
    Wild,
    /// Unforeseeable, and otherwise.
    Odd,
    /// Mostly what followed the last time the same token stood there.
    Copying,
}

/// Gives executors of one nature.
pub(crate) struct Scripted {
    pub(crate) seen: Rc<Seen>,
    pub(crate) nature: Nature,
    pub(crate) depth: usize,
}

impl Scripted {
    pub(crate) fn new(nature: Nature) -> Self {
        Self { seen: Rc::default(), nature, depth: 2 }
    }
}

impl Backend for Scripted {
    fn describe(&self) -> BackendDescription {
        BackendDescription { kind: BackendKind::Cpu, device: "scripted".to_owned(), features: Vec::new() }
    }

    fn load<'a>(
        &'a self,
        graph: &'a Graph,
        _file: WeightFile<'a>,
        options: ExecutorOptions,
        _progress: &'a mut LoadProgress<'a>,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Executor>, BackendError>> {
        let executor = ScriptedExecutor {
            seen: Rc::clone(&self.seen),
            nature: self.nature,
            depth: self.depth,
            options,
            vocabulary: graph.vocabulary,
            width: graph.slots[graph.hidden.0],
            caches: BTreeMap::new(),
            next: 0,
            adapters: BTreeMap::new(),
            active: 0,
            sampled: None,
            held: None,
            outputs: VecDeque::new(),
            tickets: 0,
            counters: Counters::default(),
        };
        async move { Ok(Box::new(executor) as Box<dyn Executor>) }.boxed_local()
    }
}

/// A token and the adapters it was read with.
type Read = (TokenId, u64);

struct ScriptedExecutor {
    seen: Rc<Seen>,
    nature: Nature,
    depth: usize,
    options: ExecutorOptions,
    vocabulary: usize,
    width: usize,
    caches: BTreeMap<usize, Vec<Read>>,
    next: usize,
    adapters: BTreeMap<usize, u64>,
    active: u64,
    sampled: Option<TokenId>,
    held: Option<Vec<f32>>,
    outputs: VecDeque<(u64, StepOutput)>,
    tickets: u64,
    counters: Counters,
}

fn invalid(problem: &str) -> BackendError {
    BackendError::InvalidStep { problem: problem.to_owned() }
}

fn mix(state: u64, value: u64) -> u64 {
    let mut bits = (state ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits ^= bits >> 29;
    bits.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (bits >> 32)
}

/// Between -2 and 2.
fn number(state: u64, index: usize) -> f32 {
    (mix(state, index as u64 + 1) >> 40) as f32 / (1u32 << 22) as f32 - 2.0
}

impl ScriptedExecutor {
    fn digest(past: &[Read]) -> u64 {
        past.iter().fold(7, |state, (token, adapters)| mix(mix(state, u64::from(*token)), *adapters))
    }

    fn logits(&self, past: &[Read]) -> Vec<f32> {
        let state = Self::digest(past);
        let salt = usize::from(self.nature == Nature::Odd) << 20;
        let mut logits: Vec<f32> = (0..self.vocabulary).map(|token| number(state, token + salt)).collect();
        // One time in sixteen it has an idea of its own.
        if self.nature == Nature::Copying
            && !state.is_multiple_of(16)
            && let Some(last) = past.last()
            && let Some(start) = (1..past.len()).rev().find(|end| past[end - 1].0 == last.0)
            && let Some(next) = past.get(start)
        {
            logits[next.0 as usize] += 9.0;
        }
        logits
    }

    fn choice(&mut self, logits: &[f32], rule: &SampleRule, count: usize) -> Result<Choice, BackendError> {
        let mut candidates = top_candidates(logits, MAX_CANDIDATES);
        let token = choose(&candidates, rule).ok_or_else(|| invalid("nothing to choose from"))?;
        candidates.truncate(count.max(2));
        self.sampled = Some(token);
        Ok(Choice { token, candidates, log_sum_exp: log_sum_exp(logits) })
    }

    fn ticket(&mut self, output: StepOutput) -> Ticket {
        self.tickets += 1;
        self.outputs.push_back((self.tickets, output));
        Ticket(self.tickets)
    }
}

impl Executor for ScriptedExecutor {
    fn options(&self) -> ExecutorOptions {
        self.options
    }

    fn create_cache(&mut self) -> Result<CacheId, BackendError> {
        self.next += 1;
        self.caches.insert(self.next, Vec::new());
        self.seen.caches.set(self.caches.len());
        Ok(CacheId(self.next))
    }

    fn drop_cache(&mut self, cache: CacheId) {
        self.caches.remove(&cache.0);
        self.seen.caches.set(self.caches.len());
    }

    fn fork_cache(&mut self, from: CacheId, length: usize) -> Result<CacheId, BackendError> {
        let past = self.caches.get(&from.0).and_then(|past| past.get(..length));
        let past = past.ok_or_else(|| invalid("no such past"))?.to_vec();
        let cache = self.create_cache()?;
        self.caches.insert(cache.0, past);
        self.seen.forks.borrow_mut().push(length);
        Ok(cache)
    }

    fn submit(&mut self, step: Step<'_>) -> Result<Ticket, BackendError> {
        let sampled = self.sampled.take();
        self.held = None;
        let tokens = match step.input {
            StepInput::Tokens(tokens) => tokens.to_vec(),
            StepInput::Sampled => vec![sampled.ok_or_else(|| invalid("nothing was chosen"))?],
        };
        let mut past = self.caches.get(&step.cache.0).cloned().ok_or_else(|| invalid("no such cache"))?;
        let fits = step.position + tokens.len() <= self.options.context && tokens.len() <= self.options.batch;
        if step.position > past.len() || tokens.is_empty() || !fits {
            return Err(invalid("outside the cache or the batch"));
        }
        past.truncate(step.position);
        past.extend(tokens.iter().map(|token| (*token, self.active)));
        let mut output = StepOutput::default();
        let end = past.len();
        match step.want {
            Want::Nothing => {}
            Want::Hold => self.held = Some(self.logits(&past)),
            Want::Logits => output.logits = self.logits(&past),
            Want::Hidden => {
                output.hidden = (step.position..end)
                    .flat_map(|last| {
                        let state = Self::digest(&past[..=last]);
                        (0..self.width).map(move |column| number(state, column))
                    })
                    .collect();
            }
            Want::Sample(rules, count) => {
                if rules.is_empty() || rules.len() > tokens.len() || rules.len() > self.options.choices {
                    return Err(invalid("as many choices as rows, and no more than promised"));
                }
                for (row, rule) in (end + 1 - rules.len()..).zip(rules) {
                    let logits = self.logits(&past[..row]);
                    output.choices.push(self.choice(&logits, rule, count)?);
                }
            }
        }
        self.counters.steps += 1;
        self.seen.steps.borrow_mut().push((tokens.len(), output.choices.len()));
        self.caches.insert(step.cache.0, past);
        Ok(self.ticket(output))
    }

    fn choose(&mut self, choice: HeldChoice<'_>) -> Result<Ticket, BackendError> {
        let mut logits = self.held.take().ok_or_else(|| invalid("no logits are held"))?;
        adjust(&mut logits, choice.changes, choice.allowed);
        let chosen = self.choice(&logits, &choice.rule, choice.candidates)?;
        Ok(self.ticket(StepOutput { choices: vec![chosen], ..StepOutput::default() }))
    }

    fn add_adapter(&mut self, parts: &mut LowRanks<'_>) -> Result<AdapterId, BackendError> {
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let state = parts
            .iter()
            .flat_map(|part| part.down.iter().chain(&part.up))
            .fold(3, |state, value| mix(state, u64::from(value.to_bits())));
        self.seen.adapters.borrow_mut().push(parts);
        self.next += 1;
        self.adapters.insert(self.next, state);
        Ok(AdapterId(self.next))
    }

    fn use_adapters(&mut self, active: &[(AdapterId, f32)]) -> Result<(), BackendError> {
        let mut state = 0;
        for (adapter, scale) in active {
            let parts = self.adapters.get(&adapter.0).ok_or_else(|| invalid("no such adapter"))?;
            state ^= mix(*parts, u64::from(scale.to_bits()));
        }
        self.active = state;
        Ok(())
    }

    fn drop_adapter(&mut self, adapter: AdapterId) {
        self.adapters.remove(&adapter.0);
    }

    fn collect(&mut self, ticket: Ticket) -> LocalBoxFuture<'_, Result<StepOutput, BackendError>> {
        async move {
            while let Some((number, output)) = self.outputs.pop_front() {
                if number == ticket.0 {
                    return Ok(output);
                }
            }
            Err(invalid("no such ticket"))
        }
        .boxed_local()
    }

    fn steps_in_flight(&self) -> usize {
        self.depth
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
