//! Runs a graph, operation by operation.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::{
    AdapterId, BackendError, CacheId, Choice, Counters, Executor, ExecutorOptions, HeldChoice, LowRanks,
    MAX_CANDIDATES, Step, StepInput, StepOutput, Ticket, TokenId, Want,
};
use nearside_engine::graph::{Graph, Op, Slot, Weight};
use nearside_engine::sampling::{choose, log_sum_exp, top_candidates};

use crate::cache::Cache;
use crate::matrix::Matrix;
use crate::memory::zeroed;
use crate::ops::{self, Past};
use crate::pool::Pool;

/// Below so many multiplications, waking other threads costs more than it saves.
const PARALLEL_WORK: usize = 1 << 15;

/// A weight, held the way its operations read it.
pub(crate) enum Held {
    /// Multiplied, or looked up row by row.
    Matrix(Box<dyn Matrix>),
    /// A norm's factors or a bias.
    Vector(Vec<f32>),
}

/// A loaded model.
pub(crate) struct CpuExecutor {
    pool: Arc<Pool>,
    graph: Graph,
    weights: Vec<Held>,
    options: ExecutorOptions,
    /// One buffer for each slot of the graph.
    slots: Vec<Vec<f32>>,
    /// Where matrix products go before bias and residual join them.
    product: Vec<f32>,
    caches: HashMap<usize, Cache>,
    next_cache: usize,
    /// What the step before this one chose.
    sampled: Option<TokenId>,
    outputs: VecDeque<(u64, StepOutput)>,
    next_ticket: u64,
    counters: Counters,
}

/// Outputs that nobody collects are thrown away beyond so many.
const MOST_OUTPUTS: usize = 16;

fn invalid(problem: impl Into<String>) -> BackendError {
    BackendError::InvalidStep { problem: problem.into() }
}

fn unsupported(what: &str) -> BackendError {
    BackendError::Unsupported { what: what.to_owned(), backend: "CPU", remedy: "do without" }
}

impl CpuExecutor {
    pub(crate) fn new(
        pool: Arc<Pool>,
        graph: Graph,
        weights: Vec<Held>,
        options: ExecutorOptions,
        weight_bytes: u64,
    ) -> Result<Self, BackendError> {
        let rows = slot_rows(&graph, options.batch);
        let too_large = || "a slot of the graph".to_owned();
        let mut slots = Vec::new();
        let mut widest = 0;
        for (&width, rows) in graph.slots.iter().zip(rows) {
            let length = width.checked_mul(rows).ok_or_else(|| crate::memory::out_of_memory(u64::MAX, too_large()))?;
            slots.push(zeroed(length, 0.0, too_large)?);
            widest = widest.max(length);
        }
        let product = zeroed(widest, 0.0, || "matrix products".to_owned())?;
        Ok(Self {
            pool,
            graph,
            weights,
            options,
            slots,
            product,
            caches: HashMap::new(),
            next_cache: 0,
            sampled: None,
            outputs: VecDeque::new(),
            next_ticket: 0,
            counters: Counters { weight_bytes, ..Counters::default() },
        })
    }

    fn run(&mut self, step: Step<'_>) -> Result<StepOutput, BackendError> {
        let sampled = self.sampled.take();
        let single;
        let tokens = match step.input {
            StepInput::Tokens(tokens) => tokens,
            StepInput::Sampled => {
                single = [sampled.ok_or_else(|| invalid("the step before it chose no token"))?];
                &single[..]
            }
        };
        // Taken out while it is used; a step that fails loses it, and what it held is doubtful anyway.
        let mut cache =
            self.caches.remove(&step.cache.0).ok_or_else(|| invalid(format!("there is no cache {}", step.cache.0)))?;
        let checked = self.check(&step, tokens, &cache);
        let result = checked.and_then(|()| self.run_ops(&step, tokens, &mut cache));
        self.caches.insert(step.cache.0, cache);
        result
    }

    fn check(&self, step: &Step<'_>, tokens: &[TokenId], cache: &Cache) -> Result<(), BackendError> {
        let ExecutorOptions { context, batch, .. } = self.options;
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
        let vocabulary = self.graph.vocabulary;
        match tokens.iter().find(|token| **token as usize >= vocabulary) {
            Some(token) => Err(invalid(format!("token {token} is outside the vocabulary of {vocabulary}"))),
            None => Ok(()),
        }
    }

    fn run_ops(&mut self, step: &Step<'_>, tokens: &[TokenId], cache: &mut Cache) -> Result<StepOutput, BackendError> {
        cache.reserve(step.position + tokens.len(), self.options.context)?;
        cache.length = step.position;
        let mut rows = tokens.len();
        self.counters.steps += 1;
        self.counters.submits += 1;
        for index in 0..self.graph.ops.len() {
            if let Op::LastRows { .. } = self.graph.ops[index] {
                if step.want == Want::Nothing {
                    break;
                }
                self.run_op(index, step.position, tokens, rows, cache)?;
                rows = 1;
            } else {
                self.run_op(index, step.position, tokens, rows, cache)?;
            }
            self.counters.dispatches += 1;
        }
        cache.length = step.position + tokens.len();
        let logits = &self.slots[self.graph.logits.0][..self.graph.vocabulary];
        match step.want {
            Want::Nothing => Ok(StepOutput::default()),
            Want::Hold => Err(unsupported("held logits")),
            Want::Hidden => {
                let hidden = &self.slots[self.graph.hidden.0];
                let hidden = hidden[..tokens.len() * self.graph.slots[self.graph.hidden.0]].to_vec();
                Ok(StepOutput { hidden, ..StepOutput::default() })
            }
            Want::Logits => Ok(StepOutput { logits: logits.to_vec(), ..StepOutput::default() }),
            Want::Sample(rules, count) => {
                let [rule] = rules else { return Err(unsupported("several choices a step")) };
                let mut candidates = top_candidates(logits, MAX_CANDIDATES);
                let token = choose(&candidates, rule).ok_or_else(|| invalid("there is nothing to choose from"))?;
                candidates.truncate(count.max(2));
                self.sampled = Some(token);
                let choice = Choice { token, candidates, log_sum_exp: log_sum_exp(logits) };
                Ok(StepOutput { choices: vec![choice], ..StepOutput::default() })
            }
        }
    }

    /// Runs one operation on `rows` rows. The graph was checked when it was loaded, so widths agree.
    fn run_op(
        &mut self,
        index: usize,
        position: usize,
        tokens: &[TokenId],
        rows: usize,
        cache: &mut Cache,
    ) -> Result<(), BackendError> {
        let (graph, weights, slots) = (&self.graph, &self.weights, &mut self.slots);
        let width = |slot: Slot| graph.slots[slot.0];
        match &graph.ops[index] {
            Op::Embed { table, scale, output } => {
                let width = width(*output);
                let table = matrix(weights, *table)?;
                for (token, row) in tokens.iter().zip(slots[output.0].chunks_exact_mut(width)) {
                    table.expand_row(*token as usize, row);
                    ops::scale(row, *scale);
                }
            }
            Op::RmsNorm { input, weight, epsilon, output, .. } => {
                let length = rows * width(*input);
                let mut result = std::mem::take(&mut slots[output.0]);
                if input == output {
                    let copy = result[..length].to_vec();
                    ops::rms_norm(&copy, vector(weights, *weight)?, *epsilon, &mut result[..length]);
                } else {
                    ops::rms_norm(
                        &slots[input.0][..length],
                        vector(weights, *weight)?,
                        *epsilon,
                        &mut result[..length],
                    );
                }
                slots[output.0] = result;
            }
            Op::MatMul { weight, bias, scale, residual, input, output } => {
                let features = width(*output);
                let product = &mut self.product[..rows * features];
                matrix(weights, *weight)?.multiply(&self.pool, &slots[input.0][..rows * width(*input)], product)?;
                if scale.to_bits() != 1f32.to_bits() {
                    ops::scale(product, *scale);
                }
                if let Some(bias) = bias {
                    let bias = vector(weights, *bias)?;
                    for row in product.chunks_exact_mut(features) {
                        row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
                    }
                }
                if let Some(residual) = residual {
                    product.iter_mut().zip(&slots[residual.0]).for_each(|(value, more)| *value += more);
                }
                slots[output.0][..product.len()].copy_from_slice(product);
            }
            Op::Rope { slot, heads, head_dim, pairing, frequencies, magnitude } => {
                let mut angles = Vec::with_capacity(frequencies.len());
                for (row, heads) in slots[slot.0].chunks_exact_mut(heads * head_dim).take(rows).enumerate() {
                    ops::rope_angles(position + row, frequencies, *magnitude, &mut angles);
                    for head in heads.chunks_exact_mut(*head_dim) {
                        ops::rope(head, *pairing, &angles);
                    }
                }
            }
            Op::StoreCache { layer, key, value } => {
                let layer = &mut cache.layers[*layer];
                let (start, length) = (position * layer.width, rows * layer.width);
                layer.keys[start..start + length].copy_from_slice(&slots[key.0][..length]);
                layer.values[start..start + length].copy_from_slice(&slots[value.0][..length]);
            }
            Op::Attention { layer, query, heads, scale, window, output } => {
                let shape = graph.caches[*layer];
                let layer = &cache.layers[*layer];
                let mut result = std::mem::take(&mut slots[output.0]);
                let queries = &slots[query.0];
                let group = heads / shape.heads;
                let one = |scores: &mut Vec<f32>, (index, output): (usize, &mut [f32])| {
                    let (row, head) = (index / heads, index % heads);
                    let end = position + row + 1;
                    let past = Past {
                        keys: &layer.keys,
                        values: &layer.values,
                        stride: layer.width,
                        start: head / group * shape.head_dim,
                    };
                    let seen = end.saturating_sub(window.unwrap_or(end))..end;
                    let query = &queries[index * shape.head_dim..][..shape.head_dim];
                    ops::attention(query, past, seen, *scale, scores, output);
                };
                let outputs = &mut result[..rows * heads * shape.head_dim];
                if outputs.len() * (position + rows) < PARALLEL_WORK {
                    let mut scores = Vec::new();
                    outputs.chunks_exact_mut(shape.head_dim).enumerate().for_each(|item| one(&mut scores, item));
                } else {
                    self.pool.for_each_chunk(outputs, shape.head_dim, &|index, output| {
                        one(&mut Vec::new(), (index, output));
                    });
                }
                slots[output.0] = result;
            }
            Op::Gate { gate, up, activation, output } => {
                let combine = |gate, up| ops::gate(*activation, gate, up);
                combine_slots(slots, (*gate, *up), *output, rows * width(*gate), combine);
            }
            Op::Add { left, right, output } => {
                combine_slots(slots, (*left, *right), *output, rows * width(*left), |left, right| left + right);
            }
            Op::Columns { input, start, output } => {
                let (wide, narrow) = (width(*input), width(*output));
                for row in 0..rows {
                    for column in 0..narrow {
                        slots[output.0][row * narrow + column] = slots[input.0][row * wide + start + column];
                    }
                }
            }
            Op::LastRows { input, output } => {
                let width = width(*input);
                let last = slots[input.0][(rows - 1) * width..rows * width].to_vec();
                slots[output.0][..width].copy_from_slice(&last);
            }
        }
        Ok(())
    }
}

/// Combines the first `length` elements of two slots, either of which may be the output as well.
fn combine_slots(
    slots: &mut [Vec<f32>],
    (left, right): (Slot, Slot),
    output: Slot,
    length: usize,
    combine: impl Fn(f32, f32) -> f32,
) {
    let mut result = std::mem::take(&mut slots[output.0]);
    for (index, value) in result[..length].iter_mut().enumerate() {
        let side = |slot: Slot| if slot == output { *value } else { slots[slot.0][index] };
        *value = combine(side(left), side(right));
    }
    slots[output.0] = result;
}

fn matrix(weights: &[Held], weight: Weight) -> Result<&dyn Matrix, BackendError> {
    match &weights[weight.0] {
        Held::Matrix(matrix) => Ok(matrix.as_ref()),
        Held::Vector(_) => Err(invalid(format!("weight {} is both a vector and a matrix", weight.0))),
    }
}

fn vector(weights: &[Held], weight: Weight) -> Result<&[f32], BackendError> {
    match &weights[weight.0] {
        Held::Vector(vector) => Ok(vector),
        Held::Matrix(_) => Err(invalid(format!("weight {} is both a vector and a matrix", weight.0))),
    }
}

/// How many rows each slot has to hold: one if it is only used from the last row on.
fn slot_rows(graph: &Graph, batch: usize) -> Vec<usize> {
    let mut rows = vec![1; graph.slots.len()];
    for op in &graph.ops {
        let used: &[Slot] = match op {
            Op::Embed { output, .. } => &[*output],
            Op::RmsNorm { input, output, .. }
            | Op::MatMul { input, output, .. }
            | Op::Columns { input, output, .. } => &[*input, *output],
            Op::Rope { slot, .. } => &[*slot],
            Op::StoreCache { key, value, .. } => &[*key, *value],
            Op::Attention { query, output, .. } => &[*query, *output],
            Op::Gate { gate, up, output, .. } => &[*gate, *up, *output],
            Op::Add { left, right, output } => &[*left, *right, *output],
            Op::LastRows { input, .. } => {
                rows[input.0] = batch;
                break;
            }
        };
        for slot in used {
            rows[slot.0] = batch;
        }
    }
    rows
}

impl Executor for CpuExecutor {
    fn options(&self) -> ExecutorOptions {
        self.options
    }

    fn create_cache(&mut self) -> Result<CacheId, BackendError> {
        let id = self.next_cache;
        self.next_cache += 1;
        self.caches.insert(id, Cache::new(&self.graph.caches));
        Ok(CacheId(id))
    }

    fn drop_cache(&mut self, cache: CacheId) {
        self.caches.remove(&cache.0);
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
        let output = self.run(step)?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if self.outputs.len() == MOST_OUTPUTS {
            self.outputs.pop_front();
        }
        self.outputs.push_back((ticket, output));
        Ok(Ticket(ticket))
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
