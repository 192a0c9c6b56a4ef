//! A graph becomes a list of kernel calls.

use std::sync::Arc;

use nearside_engine::backend::{BackendError, ExecutorOptions};
use nearside_engine::graph::{Graph, Op, RopePairing, Slot, Weight};

use crate::adapter::Tuning;
use crate::binding::Source;
use crate::kernels::matmul::{Residual, Shape};
use crate::kernels::sample::Deal;
use crate::kernels::{
    Grid, Program, add, attention, columns, embed, gate, last_row, matmul, rms_norm, rope, sample, store_cache,
};
use crate::quants::UNIT;
use crate::weights::{Matrix, Piece, Weights};

/// When an operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In every step, for all its rows.
    Body,
    /// Where something is wanted, for one row.
    Head,
    /// Where a token is wanted.
    Sample,
}

/// One dispatch to be.
pub(crate) struct Call {
    pub(crate) program: Program,
    pub(crate) params: Vec<u32>,
    pub(crate) sources: Vec<Source>,
    pub(crate) grid: Grid,
}

/// What one operation does in a step of one row and in one of several.
pub(crate) struct Planned {
    pub(crate) phase: Phase,
    pub(crate) single: Call,
    /// The same as `single` when absent.
    pub(crate) many: Option<Call>,
}

/// The turns that one rope operation wants for each position.
pub(crate) struct Turns {
    pub(crate) frequencies: Arc<[f32]>,
    pub(crate) magnitude: f32,
}

/// A graph as calls.
pub(crate) struct Plan {
    pub(crate) calls: Vec<Planned>,
    /// Different ropes, in the order of their turns in a row.
    pub(crate) turns: Vec<Turns>,
    /// Turns in a row.
    pub(crate) turn_count: usize,
    /// How the vocabulary is dealt for sampling.
    pub(crate) deal: Deal,
}

/// Elements between the rows of a slot: whole units, so that padded columns meet padded inputs.
pub(crate) fn stride(width: usize) -> usize {
    width.next_multiple_of(UNIT)
}

/// Where the operations for the last row start.
fn head_start(graph: &Graph) -> usize {
    graph.ops.iter().position(|op| matches!(op, Op::LastRows { .. })).unwrap_or(graph.ops.len())
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

/// How many rows each slot needs.
pub(crate) fn slot_rows(graph: &Graph, batch: usize) -> Vec<usize> {
    let mut rows = vec![1; graph.slots.len()];
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

struct Planner<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    tuning: Tuning,
    options: ExecutorOptions,
    phase: Phase,
    plan: Plan,
}

/// Plans a graph whose weights are in place.
pub(crate) fn plan(
    graph: &Graph,
    weights: &Weights,
    tuning: Tuning,
    options: ExecutorOptions,
) -> Result<Plan, BackendError> {
    let mut planner = Planner {
        graph,
        weights,
        tuning,
        options,
        phase: Phase::Body,
        plan: Plan { calls: Vec::new(), turns: Vec::new(), turn_count: 0, deal: Deal::new(graph.vocabulary as u32) },
    };
    planner.find_turns();
    for op in &graph.ops {
        if matches!(op, Op::LastRows { .. }) {
            planner.phase = Phase::Head;
        }
        planner.op(op)?;
    }
    planner.phase = Phase::Sample;
    planner.sample();
    Ok(planner.plan)
}

fn unsupported(what: String) -> BackendError {
    BackendError::Unsupported { what, backend: "GPU", remedy: "use the CPU backend" }
}

impl Planner<'_> {
    fn width(&self, slot: Slot) -> usize {
        self.graph.slots[slot.0]
    }

    fn stride(&self, slot: Slot) -> u32 {
        stride(self.width(slot)) as u32
    }

    fn row_limit(&self) -> u32 {
        if self.phase == Phase::Body { self.options.batch as u32 } else { 1 }
    }

    fn matrix(&self, weight: Weight) -> Result<&Matrix, BackendError> {
        self.weights.matrices[weight.0].as_ref().ok_or_else(|| BackendError::Tensor {
            name: self.graph.weights[weight.0].name.clone(),
            problem: "it was not loaded as a matrix".to_owned(),
        })
    }

    fn push(&mut self, program: Program, params: Vec<u32>, sources: Vec<Source>, grid: Grid) {
        let single = Call { program, params, sources, grid };
        self.plan.calls.push(Planned { phase: self.phase, single, many: None });
    }

    fn find_turns(&mut self) {
        for op in &self.graph.ops {
            if let Op::Rope { frequencies, magnitude, .. } = op
                && self.turn_offset(frequencies, *magnitude).is_none()
            {
                self.plan.turns.push(Turns { frequencies: Arc::clone(frequencies), magnitude: *magnitude });
                self.plan.turn_count += frequencies.len();
            }
        }
    }

    fn turn_offset(&self, frequencies: &[f32], magnitude: f32) -> Option<usize> {
        let mut offset = 0;
        for turns in &self.plan.turns {
            if *turns.frequencies == *frequencies && turns.magnitude.to_bits() == magnitude.to_bits() {
                return Some(offset);
            }
            offset += turns.frequencies.len();
        }
        None
    }

    fn op(&mut self, op: &Op) -> Result<(), BackendError> {
        match op {
            Op::Embed { table, scale, output } => self.embed(*table, *scale, *output),
            Op::RmsNorm { input, weight, group, epsilon, output } => {
                self.rms_norm(*input, *weight, *group, *epsilon, *output);
                Ok(())
            }
            Op::MatMul { weight, bias, scale, residual, input, output } => {
                self.matmul(*weight, *bias, *scale, *residual, *input, *output)
            }
            Op::Rope { slot, heads, head_dim, pairing, frequencies, magnitude } => {
                self.rope(*slot, *heads, *head_dim, *pairing, frequencies, *magnitude);
                Ok(())
            }
            Op::StoreCache { layer, key, value } => self.store_cache(*layer, *key, *value),
            Op::Attention { layer, query, heads, scale, window, output } => {
                self.attention(*layer, *query, *heads, *scale, *window, *output)
            }
            Op::Gate { gate, up, activation, output } => {
                let program = gate::program(*activation, gate == output, up == output);
                let params = gate::Params { row_limit: self.row_limit(), stride: self.stride(*output) / 4 };
                let sources = binary_sources(*gate, *up, *output);
                self.push(program, params.words(), sources, params.grid());
                Ok(())
            }
            Op::Add { left, right, output } => {
                let program = add::program(left == output, right == output);
                let params = add::Params { row_limit: self.row_limit(), stride: self.stride(*output) / 4 };
                let sources = binary_sources(*left, *right, *output);
                self.push(program, params.words(), sources, params.grid());
                Ok(())
            }
            Op::Columns { input, start, output } => {
                let params = columns::Params {
                    row_limit: self.row_limit(),
                    width: self.width(*output) as u32,
                    start: *start as u32,
                    input_stride: self.stride(*input),
                    output_stride: self.stride(*output),
                };
                let sources = vec![Source::Slot(input.0), Source::Slot(output.0)];
                self.push(columns::program(), params.words(), sources, params.grid());
                Ok(())
            }
            Op::LastRows { input, output } => {
                let params = last_row::Params { width: self.width(*output) as u32, input_stride: self.stride(*input) };
                let sources = vec![Source::Slot(input.0), Source::Slot(output.0)];
                self.push(last_row::program(), params.words(), sources, params.grid());
                Ok(())
            }
        }
    }

    fn embed(&mut self, table: Weight, scale: f32, output: Slot) -> Result<(), BackendError> {
        let matrix = self.matrix(table)?;
        let (packing, units) = (matrix.packing, matrix.packing.units(matrix.columns) as u32);
        let pieces: Vec<_> = matrix.pieces.iter().map(|piece| (piece.first_row, piece.rows)).collect();
        if stride(self.width(output)) < units as usize * UNIT {
            return Err(unsupported(format!("an embedding wider than its slot ({})", self.width(output))));
        }
        for (index, (first_row, rows)) in pieces.into_iter().enumerate() {
            let params = embed::Params {
                row_limit: self.row_limit(),
                units,
                first_row: first_row as u32,
                piece_rows: rows as u32,
                stride: self.stride(output) / 4,
                scale,
            };
            let weight = table.0;
            let sources = vec![
                Source::Quants { weight, piece: index },
                Source::Extras { weight, piece: index },
                Source::Tokens,
                Source::Result,
                Source::Slot(output.0),
            ];
            self.push(embed::program(packing), params.words(), sources, params.grid());
        }
        Ok(())
    }

    fn rms_norm(&mut self, input: Slot, weight: Weight, group: usize, epsilon: f32, output: Slot) {
        let params = rms_norm::Params {
            row_limit: self.row_limit(),
            groups: (self.width(input) / group.max(1)) as u32,
            size: group as u32,
            input_stride: self.stride(input),
            output_stride: self.stride(output),
            epsilon,
        };
        let mut sources = vec![Source::Vector(weight.0), Source::Slot(output.0)];
        if input != output {
            sources.push(Source::Slot(input.0));
        }
        self.push(rms_norm::program(input == output, &self.tuning), params.words(), sources, params.grid());
    }

    fn matmul(
        &mut self,
        weight: Weight,
        bias: Option<Weight>,
        scale: f32,
        residual: Option<Slot>,
        input: Slot,
        output: Slot,
    ) -> Result<(), BackendError> {
        let matrix = self.matrix(weight)?;
        let packing = matrix.packing;
        let params = matmul::Params {
            row_limit: self.row_limit(),
            units: packing.units(matrix.columns) as u32,
            groups: 0,
            rows: 0,
            first_row: 0,
            input_stride: self.stride(input) / 4,
            output_stride: self.stride(output),
            residual_stride: residual.map_or(0, |slot| self.stride(slot)),
            scale,
        };
        if stride(self.width(input)) < params.units as usize * UNIT {
            return Err(unsupported(format!("a matrix with more columns than its input ({})", self.width(input))));
        }
        let pieces = matrix.pieces.iter().map(|piece| piece_params(params, piece)).collect::<Vec<_>>();
        let added = match residual {
            None => Residual::None,
            Some(slot) if slot == output => Residual::Output,
            Some(_) => Residual::Separate,
        };
        let shapes = (Shape::single(params.units, &self.tuning), Shape::many(&self.tuning));
        for (piece, params) in pieces.into_iter().enumerate() {
            let weight = weight.0;
            let mut sources = vec![
                Source::Quants { weight, piece },
                Source::Extras { weight, piece },
                Source::Slot(input.0),
                Source::Slot(output.0),
            ];
            sources.extend(bias.map(|bias| Source::Vector(bias.0)));
            if let (Residual::Separate, Some(slot)) = (added, residual) {
                sources.push(Source::Slot(slot.0));
            }
            let call = |shape: Shape| Call {
                program: matmul::program(packing, shape, bias.is_some(), added),
                params: params.words(),
                sources: sources.clone(),
                grid: shape.grid(&params),
            };
            let many = (self.phase == Phase::Body).then(|| call(shapes.1));
            self.plan.calls.push(Planned { phase: self.phase, single: call(shapes.0), many });
        }
        Ok(())
    }

    fn rope(
        &mut self,
        slot: Slot,
        heads: usize,
        head_dim: usize,
        pairing: RopePairing,
        frequencies: &[f32],
        magnitude: f32,
    ) {
        let params = rope::Params {
            row_limit: self.row_limit(),
            heads: heads as u32,
            head_dim: head_dim as u32,
            pairs: frequencies.len() as u32,
            pairing,
            stride: self.stride(slot),
            table_stride: self.plan.turn_count as u32,
            table_offset: self.turn_offset(frequencies, magnitude).unwrap_or(0) as u32,
        };
        self.push(rope::program(), params.words(), vec![Source::Turns, Source::Slot(slot.0)], params.grid());
    }

    fn store_cache(&mut self, layer: usize, key: Slot, value: Slot) -> Result<(), BackendError> {
        let shape = self.graph.caches[layer];
        if !shape.head_dim.is_multiple_of(8) || shape.head_dim > attention::MAX_HEAD_DIM || shape.head_dim == 0 {
            return Err(unsupported(format!("a head of {} elements", shape.head_dim)));
        }
        let params = store_cache::Params {
            row_limit: self.row_limit(),
            heads: shape.heads as u32,
            words: shape.head_dim as u32 / 2,
            context: self.options.context as u32,
            key_stride: self.stride(key) / 2,
            value_stride: self.stride(value) / 2,
        };
        let sources = vec![Source::Slot(key.0), Source::Slot(value.0), Source::Keys(layer), Source::Values(layer)];
        self.push(store_cache::program(), params.words(), sources, params.grid());
        Ok(())
    }

    fn attention(
        &mut self,
        layer: usize,
        query: Slot,
        heads: usize,
        scale: f32,
        window: Option<usize>,
        output: Slot,
    ) -> Result<(), BackendError> {
        let shape = self.graph.caches[layer];
        if shape.heads == 0 || !heads.is_multiple_of(shape.heads) {
            return Err(unsupported(format!("{heads} query heads over {} key heads", shape.heads)));
        }
        let params = attention::Params {
            row_limit: self.row_limit(),
            heads: heads as u32,
            share: (heads / shape.heads) as u32,
            context: self.options.context as u32,
            window: window.map_or(u32::MAX, |window| window as u32),
            query_stride: self.stride(query) / 4,
            output_stride: self.stride(output) / 2,
            scale,
        };
        let sources = vec![Source::Slot(query.0), Source::Keys(layer), Source::Values(layer), Source::Slot(output.0)];
        let call = |single| Call {
            program: attention::program(shape.head_dim as u32, single),
            params: params.words(),
            sources: sources.clone(),
            grid: params.grid(single),
        };
        self.plan.calls.push(Planned { phase: self.phase, single: call(true), many: Some(call(false)) });
        Ok(())
    }

    fn sample(&mut self) {
        let deal = self.plan.deal;
        let logits = Source::Slot(self.graph.logits.0);
        let (groups, selected, result) = (Source::Groups, Source::Selected, Source::Result);
        self.push(sample::group_best(), deal.best_words(), vec![logits, groups], deal.groups_grid());
        self.push(sample::select_groups(), deal.groups_words(), vec![groups, selected], deal.groups_grid());
        let sources = vec![logits, selected, result];
        self.push(sample::select_candidates(), deal.candidates_words(), sources, deal.candidates_grid());
        self.push(sample::choose(), deal.best_words(), vec![groups, result], Grid::Fixed(1));
    }
}

fn piece_params(params: matmul::Params, piece: &Piece) -> matmul::Params {
    matmul::Params {
        groups: piece.rows.div_ceil(16) as u32,
        rows: piece.rows as u32,
        first_row: piece.first_row as u32,
        ..params
    }
}

/// The output, then each operand that is not it.
fn binary_sources(first: Slot, second: Slot, output: Slot) -> Vec<Source> {
    let operands = [first, second].into_iter().filter(|operand| *operand != output);
    std::iter::once(output).chain(operands).map(|slot| Source::Slot(slot.0)).collect()
}
