//! Neighbouring operations that one kernel does together.

use nearside_engine::backend::CacheFormat;
use nearside_engine::graph::{Op, Slot, Weight};

use super::{Call, Planned, Planner, turn_count};
use crate::binding::{MatrixId, Source};
use crate::kernels::{attention, gate_up, rope_store};
use crate::quants::LANES;

/// Whether an operation needs what a slot held before it.
fn reads(op: &Op, slot: Slot) -> bool {
    match op {
        Op::Embed { .. } => false,
        Op::RmsNorm { input, .. } | Op::Columns { input, .. } | Op::LastRows { input, .. } => *input == slot,
        Op::MatMul { residual, input, .. } => *input == slot || *residual == Some(slot),
        Op::Rope { slot: turned, .. } => *turned == slot,
        Op::StoreCache { key, value, .. } => *key == slot || *value == slot,
        Op::Attention { query, .. } => *query == slot,
        Op::Gate { gate, up, .. } => *gate == slot || *up == slot,
        Op::Add { left, right, .. } => *left == slot || *right == slot,
    }
}

/// Whether an operation replaces all that a slot held.
fn replaces(op: &Op, slot: Slot) -> bool {
    match op {
        Op::Embed { output, .. }
        | Op::RmsNorm { output, .. }
        | Op::MatMul { output, .. }
        | Op::Attention { output, .. }
        | Op::Gate { output, .. }
        | Op::Add { output, .. }
        | Op::Columns { output, .. } => *output == slot,
        // It replaces the first rows only.
        Op::LastRows { .. } | Op::Rope { .. } | Op::StoreCache { .. } => false,
    }
}

impl Planner<'_> {
    /// Whether some of these operations, or who takes the result, need what a slot holds before them.
    fn needed(&self, slot: Slot, ops: &[Op]) -> bool {
        for op in ops {
            if reads(op, slot) {
                return true;
            }
            if replaces(op, slot) {
                return false;
            }
        }
        slot == self.graph.hidden || slot == self.graph.logits
    }

    /// Plans the first few operations as one if a kernel does them together; how many they are.
    pub(super) fn fuse(&mut self, ops: &[Op]) -> usize {
        self.rope_store(ops).or_else(|| self.gate_up(ops)).unwrap_or(0)
    }

    /// Two products with stacked matrices go straight through the activation, for one token. For several
    /// the operations stay apart.
    fn gate_up(&mut self, ops: &[Op]) -> Option<usize> {
        let [
            Op::MatMul { weight: first, bias: None, scale: first_scale, residual: None, input, output: first_output },
            Op::MatMul {
                weight: second,
                bias: None,
                scale: second_scale,
                residual: None,
                input: same,
                output: second_output,
            },
            Op::Gate { gate, up, activation, output },
            rest @ ..,
        ] = ops
        else {
            return None;
        };
        let ((gate_weight, gate_scale), (up_weight, up_scale)) = if (gate, up) == (first_output, second_output) {
            ((*first, *first_scale), (*second, *second_scale))
        } else if (up, gate) == (first_output, second_output) {
            ((*second, *second_scale), (*first, *first_scale))
        } else {
            return None;
        };
        let changed = |weight: Weight| {
            let parts = self.adapters.active.iter().filter_map(|(adapter, _)| self.adapters.parts(*adapter));
            parts.flatten().any(|part| part.weight == weight.0)
        };
        let lost = [gate, up].into_iter().any(|slot| slot != output && self.needed(*slot, rest));
        if input != same || input == output || gate == up || lost || changed(*first) || changed(*second) {
            return None;
        }
        let (gates, ups) = (self.matrix(gate_weight).ok()?, self.matrix(up_weight).ok()?);
        let ([gates_piece], [ups_piece]) = (gates.pieces.as_slice(), ups.pieces.as_slice()) else { return None };
        if gates_piece.buffer != ups_piece.buffer || gates_piece.rows != ups_piece.rows {
            return None;
        }
        let units = gates.packing.units(gates.columns) as u32;
        let params = gate_up::Params {
            row_limit: self.row_limit(),
            units,
            groups: gates_piece.rows.div_ceil(LANES) as u32,
            rows: gates_piece.rows as u32,
            first_gate: gates_piece.first_group as u32,
            first_up: ups_piece.first_group as u32,
            input_stride: self.stride(*input) / 4,
            output_stride: self.stride(*output),
            gate_scale,
            up_scale,
        };
        let split = gate_up::Split::new(units, &self.tuning);
        let matrix = MatrixId::Weight(gate_weight.0);
        let single = Call {
            program: gate_up::program(gates.packing, *activation, split),
            params: params.words(),
            sources: vec![
                Source::Quants { matrix, piece: 0 },
                Source::Extras { matrix, piece: 0 },
                Source::Slot(input.0),
                Source::Slot(output.0),
            ],
            grid: params.grid(split),
        };
        let apart = self.plan.calls.len();
        for op in &ops[..3] {
            self.op(op).ok()?;
        }
        let apart = self.plan.calls.split_off(apart).into_iter();
        let calls = apart.flat_map(|planned| if planned.many.is_empty() { vec![planned.single] } else { planned.many });
        let many = if self.several_rows() { calls.collect() } else { Vec::new() };
        self.plan.calls.push(Planned { phase: self.phase, single, many });
        Some(3)
    }

    /// Queries and keys turn, and keys and values go to the cache.
    fn rope_store(&mut self, ops: &[Op]) -> Option<usize> {
        let [
            Op::Rope { slot: query, heads, head_dim, pairing, frequencies, magnitude },
            Op::Rope {
                slot: turned,
                head_dim: key_dim,
                pairing: key_pairing,
                frequencies: key_frequencies,
                magnitude: key_magnitude,
                ..
            },
            Op::StoreCache { layer, key, value },
            rest @ ..,
        ] = ops
        else {
            return None;
        };
        let alike = head_dim == key_dim
            && pairing == key_pairing
            && *frequencies == *key_frequencies
            && magnitude.to_bits() == key_magnitude.to_bits();
        let shape = self.graph.caches[*layer];
        let suits = self.options.cache == CacheFormat::F16
            && shape.head_dim == *head_dim
            && head_dim.is_multiple_of(8)
            && *head_dim <= attention::MAX_HEAD_DIM
            && !frequencies.is_empty()
            && frequencies.len().is_multiple_of(2);
        let apart = turned == key && query != key && query != value && key != value;
        if !alike || !suits || !apart || self.needed(*key, rest) {
            return None;
        }
        let params = rope_store::Params {
            row_limit: self.row_limit(),
            query_heads: *heads as u32,
            key_heads: shape.heads as u32,
            head_dim: *head_dim as u32,
            pairs: frequencies.len() as u32,
            pairing: *pairing,
            query_stride: self.stride(*query),
            key_stride: self.stride(*key),
            value_stride: self.stride(*value) / 4,
            table_stride: turn_count(self.graph) as u32,
            table_offset: self.turn_offset(frequencies, *magnitude)? as u32,
            context: self.options.context as u32,
        };
        let sources = vec![
            Source::Turns,
            Source::Slot(query.0),
            Source::Slot(key.0),
            Source::Slot(value.0),
            Source::Keys(*layer),
            Source::Values(*layer),
        ];
        self.push(rope_store::program(), params.words(), sources, params.grid());
        Some(3)
    }
}
