//! A graph becomes a list of kernel calls.

pub(crate) mod blocks;
mod fusion;
mod one_token;
mod operations;
mod products;

use std::ops::Range;
use std::sync::Arc;

use nearside_engine::backend::{BackendError, ExecutorOptions};
use nearside_engine::graph::{Graph, Op, Slot, Weight};

use crate::adapter::Tuning;
use crate::binding::Source;
use crate::header::LAST_ROWS;
use crate::kernels::pack::UNIT_WORDS;
use crate::kernels::sample::Deal;
use crate::kernels::{Grid, Program};
use crate::low_rank::Adapters;
use crate::quants::UNIT;
use crate::weights::{Matrix, Weights};

/// When an operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In every step, for all its rows.
    Body,
    /// Where something is wanted, for all rows: the caches hold all they need without it.
    Tail,
    /// Where logits are wanted, for the last rows.
    Head,
    /// Where held logits change.
    Change,
    /// Where tokens are wanted, for the last rows.
    Sample,
}

/// One dispatch to be.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) program: Program,
    pub(crate) params: Vec<u32>,
    pub(crate) sources: Vec<Source>,
    pub(crate) grid: Grid,
}

/// The most rows for which products do without tiles.
pub(crate) const FEW: usize = 16;

/// What runs in a step, depending on its rows.
pub(crate) struct ByRows<T> {
    pub(crate) single: Vec<T>,
    /// For at most [`FEW`] rows; the same as `many` when there is none.
    pub(crate) few: Vec<T>,
    /// The same as `single` when there is none.
    pub(crate) many: Vec<T>,
}

impl<T> ByRows<T> {
    /// What runs for so many rows.
    pub(crate) fn of(&self, rows: usize) -> &[T] {
        match rows {
            2..=FEW if !self.few.is_empty() => &self.few,
            2.. if !self.many.is_empty() => &self.many,
            _ => &self.single,
        }
    }

    /// Everything that may run.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        [&self.single, &self.few, &self.many].into_iter().flatten()
    }

    /// The same of something else.
    pub(crate) fn map<U>(&self, mut change: impl FnMut(&T) -> U) -> ByRows<U> {
        let mut each = |items: &[T]| items.iter().map(&mut change).collect();
        ByRows { single: each(&self.single), few: each(&self.few), many: each(&self.many) }
    }
}

/// What an operation, or several, do in a step.
pub(crate) struct Planned {
    pub(crate) phase: Phase,
    pub(crate) calls: ByRows<Call>,
}

/// The turns that one rope operation wants for each position.
pub(crate) struct Turns {
    pub(crate) frequencies: Arc<[f32]>,
    pub(crate) magnitude: f32,
}

/// Different ropes, in the order of their turns in a row.
fn turns(graph: &Graph) -> Vec<Turns> {
    let mut all: Vec<Turns> = Vec::new();
    for op in &graph.ops {
        if let Op::Rope { frequencies, magnitude, .. } = op
            && !all.iter().any(|turns| turns.equal(frequencies, *magnitude))
        {
            all.push(Turns { frequencies: Arc::clone(frequencies), magnitude: *magnitude });
        }
    }
    all
}

/// Turns in a row.
pub(crate) fn turn_count(graph: &Graph) -> usize {
    turns(graph).iter().map(|turns| turns.frequencies.len()).sum()
}

impl Turns {
    fn equal(&self, frequencies: &[f32], magnitude: f32) -> bool {
        *self.frequencies == *frequencies && self.magnitude.to_bits() == magnitude.to_bits()
    }
}

/// A graph as calls.
pub(crate) struct Plan {
    pub(crate) calls: Vec<Planned>,
    /// Those of the layers.
    pub(crate) layers: Range<usize>,
    /// Different ropes, in the order of their turns in a row.
    pub(crate) turns: Vec<Turns>,
    /// How the vocabulary is dealt for sampling.
    pub(crate) deal: Deal,
}

/// Elements between the rows of a slot: whole units, so that padded columns meet padded inputs.
pub(crate) fn stride(width: usize) -> usize {
    width.next_multiple_of(UNIT)
}

/// Where the operations start that no cache needs.
fn tail_start(graph: &Graph) -> usize {
    graph.ops.iter().rposition(|op| matches!(op, Op::StoreCache { .. })).map_or(0, |last| last + 1)
}

/// Where the operations for the last rows start.
fn head_start(graph: &Graph) -> usize {
    graph.ops.iter().position(|op| matches!(op, Op::LastRows { .. })).unwrap_or(graph.ops.len())
}

/// The operations of the layers: after the embedding and before what makes the hidden states of all.
fn layers(graph: &Graph) -> Range<usize> {
    let start = graph.ops.iter().position(|op| !matches!(op, Op::Embed { .. })).unwrap_or(0);
    let end = graph.ops.iter().rposition(|op| fusion::replaces(op, graph.hidden)).unwrap_or(start);
    start..end.max(start)
}

/// The slots that an operation touches.
fn touched(op: &Op) -> Vec<Slot> {
    match op {
        Op::Embed { output, .. } => vec![*output],
        Op::RmsNorm { input, output, .. } | Op::Columns { input, output, .. } | Op::LastRows { input, output } => {
            vec![*input, *output]
        }
        Op::MatMul { residual, input, output, .. } => {
            [Some(*input), Some(*output), *residual].into_iter().flatten().collect()
        }
        Op::Rope { slot, .. } => vec![*slot],
        Op::StoreCache { key, value, .. } => vec![*key, *value],
        Op::Attention { query, output, .. } => vec![*query, *output],
        Op::Gate { gate, up, output, .. } => vec![*gate, *up, *output],
        Op::Add { left, right, output } => vec![*left, *right, *output],
    }
}

/// Words of what the steps of one token need beside the slots: all heads, and what the slices of their
/// attention gather.
pub(crate) fn one_token_words(graph: &Graph, options: ExecutorOptions, tuning: &Tuning) -> (u64, u64) {
    let blocks = || blocks::Block::all(graph);
    let heads = blocks().map(|block| block.width() as u64).max().unwrap_or(0);
    let partials = blocks().map(|block| {
        block.heads as u64 * one_token::form(&block, options.context, options.cache, tuning.slices).partial_words()
    });
    (heads.max(4), partials.max().unwrap_or(0).max(4))
}

/// Words of what lies packed before products in tiles.
pub(crate) fn packed_words(graph: &Graph, options: ExecutorOptions, tuning: &Tuning) -> u64 {
    let units = |op: &Op| match op {
        Op::MatMul { input, .. } => stride(graph.slots[input.0]) / UNIT,
        _ => 0,
    };
    let most = graph.ops.iter().map(units).max().unwrap_or(0);
    if tuning.tiles.is_some() { (options.batch * most * UNIT_WORDS) as u64 } else { 0 }.max(4)
}

/// How many rows each slot needs.
pub(crate) fn slot_rows(graph: &Graph, options: ExecutorOptions) -> Vec<usize> {
    let batch = options.batch;
    let mut rows = vec![options.choices.min(batch); graph.slots.len()];
    for op in &graph.ops[..head_start(graph)] {
        for slot in touched(op) {
            rows[slot.0] = batch;
        }
    }
    if let Some(Op::LastRows { input, .. }) = graph.ops.get(head_start(graph)) {
        rows[input.0] = batch;
    }
    rows
}

/// A slot that lies packed for products in tiles.
#[derive(Debug, Clone, Copy)]
struct Packed {
    slot: Slot,
    /// Elements that share a scale.
    block: usize,
    /// The first operation that finds it so.
    from: usize,
}

struct Planner<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    adapters: &'a Adapters,
    tuning: Tuning,
    options: ExecutorOptions,
    /// Where the operations start that no cache needs, and those for the last rows.
    tail: usize,
    head: usize,
    /// Of the operation that is planned.
    index: usize,
    phase: Phase,
    /// The operation that is planned, where several are planned as one.
    at: usize,
    /// What lies packed.
    packed: Option<Packed>,
    plan: Plan,
}

/// Plans a graph whose weights are in place.
pub(crate) fn plan(
    graph: &Graph,
    weights: &Weights,
    adapters: &Adapters,
    tuning: Tuning,
    options: ExecutorOptions,
) -> Result<Plan, BackendError> {
    let mut planner = Planner {
        graph,
        weights,
        adapters,
        tuning,
        options,
        tail: tail_start(graph),
        head: head_start(graph),
        index: 0,
        phase: Phase::Body,
        at: 0,
        packed: None,
        plan: Plan { calls: Vec::new(), layers: 0..0, turns: turns(graph), deal: Deal::new(graph.vocabulary as u32) },
    };
    let layers = layers(graph);
    while planner.index < graph.ops.len() {
        if planner.index <= layers.start {
            planner.plan.layers.start = planner.plan.calls.len();
        }
        let ops = &graph.ops[planner.index..];
        planner.phase = planner.phase_at(planner.index);
        let fused = planner.fuse(ops);
        if fused == 0 {
            planner.op(ops)?;
        }
        planner.index += fused.max(1);
        // What does the last norm too counts as that.
        if planner.index <= layers.end {
            planner.plan.layers.end = planner.plan.calls.len();
        }
    }
    planner.choose();
    Ok(planner.plan)
}

fn unsupported(what: String) -> BackendError {
    BackendError::Unsupported { what, backend: "GPU", remedy: "use the CPU backend" }
}

impl<'a> Planner<'a> {
    fn phase_at(&self, index: usize) -> Phase {
        match index {
            _ if index >= self.head => Phase::Head,
            _ if index >= self.tail => Phase::Tail,
            _ => Phase::Body,
        }
    }

    fn width(&self, slot: Slot) -> usize {
        self.graph.slots[slot.0]
    }

    fn stride(&self, slot: Slot) -> u32 {
        stride(self.width(slot)) as u32
    }

    fn row_limit(&self) -> u32 {
        match self.phase {
            Phase::Body | Phase::Tail => self.options.batch as u32,
            Phase::Head | Phase::Change | Phase::Sample => LAST_ROWS | self.options.choices as u32,
        }
    }

    /// Whether the operation may meet more than one row.
    fn several_rows(&self) -> bool {
        matches!(self.phase, Phase::Body | Phase::Tail) || self.options.choices > 1
    }

    fn matrix(&self, weight: Weight) -> Result<&'a Matrix, BackendError> {
        self.weights.matrices[weight.0].as_ref().ok_or_else(|| BackendError::Tensor {
            name: self.graph.weights[weight.0].name.clone(),
            problem: "it was not loaded as a matrix".to_owned(),
        })
    }

    fn push(&mut self, program: Program, params: Vec<u32>, sources: Vec<Source>, grid: Grid) {
        let single = vec![Call { program, params, sources, grid }];
        let calls = ByRows { single, few: Vec::new(), many: Vec::new() };
        self.plan.calls.push(Planned { phase: self.phase, calls });
    }

    fn turn_offset(&self, frequencies: &[f32], magnitude: f32) -> Option<usize> {
        let mut offset = 0;
        for turns in &self.plan.turns {
            if turns.equal(frequencies, magnitude) {
                return Some(offset);
            }
            offset += turns.frequencies.len();
        }
        None
    }
}
