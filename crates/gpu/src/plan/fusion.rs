//! Neighbouring operations that one kernel does together.

use nearside_engine::backend::CacheFormat;
use nearside_engine::graph::{Graph, Op, Slot, Weight};

use super::{ByRows, Call, Planned, Planner, turn_count};
use crate::binding::{MatrixId, Source};
use crate::kernels::{attention, gate_up, join, rms_norm, rope_store};
use crate::quants::LANES;

/// Whether an operation needs what a slot held before it.
pub(super) fn reads(op: &Op, slot: Slot) -> bool {
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
pub(super) fn replaces(op: &Op, slot: Slot) -> bool {
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

/// Several operations for few rows, unless that is the same, and for many.
pub(super) struct Apart {
    pub(super) few: Vec<Call>,
    pub(super) many: Vec<Call>,
}

/// Two products of one input of which one gates the other: weights, scales, first rows and rows.
struct Gated {
    gate: (Weight, f32, usize),
    up: (Weight, f32, usize),
    rows: usize,
    /// How many operations give them.
    products: usize,
    input: Slot,
    /// What holds them on the way.
    slots: Vec<Slot>,
}

impl Gated {
    /// The products before an operation that gates: two, or one of which two parts are copied.
    fn find(graph: &Graph, ops: &[Op]) -> Option<Self> {
        let product = |op: &Op| match op {
            Op::MatMul { weight, bias: None, scale, residual: None, input, output } => {
                Some((*weight, *scale, *input, *output))
            }
            _ => None,
        };
        let (weight, scale, input, output) = product(ops.first()?)?;
        let (parts, products, mut slots) = match ops.get(1..)? {
            [
                Op::Columns { input: one, start, output: left },
                Op::Columns { input: other, start: next, output: right },
                ..,
            ] if *one == output && *other == output => {
                ([(weight, scale, *start, *left), (weight, scale, *next, *right)], 3, vec![output])
            }
            [second, ..] => {
                let (second, factor, same, other) = product(second)?;
                if same != input {
                    return None;
                }
                ([(weight, scale, 0, output), (second, factor, 0, other)], 2, Vec::new())
            }
            [] => return None,
        };
        let Some(Op::Gate { gate, up, .. }) = ops.get(products) else { return None };
        let part = |slot: &Slot| parts.iter().find(|part| part.3 == *slot).map(|part| (part.0, part.1, part.2));
        slots.extend([*gate, *up]);
        let rows = graph.slots[gate.0];
        (gate != up && rows == graph.slots[up.0]).then_some(())?;
        Some(Self { gate: part(gate)?, up: part(up)?, rows, products, input, slots })
    }
}

impl Planner<'_> {
    /// Whether some of these operations, or who takes the result, need what a slot holds before them.
    pub(super) fn needed(&self, slot: Slot, ops: &[Op]) -> bool {
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

    /// Whether adapters that are in use change a weight.
    pub(super) fn changed(&self, weight: Weight) -> bool {
        let parts = self.adapters.active.iter().filter_map(|(adapter, _)| self.adapters.parts(*adapter));
        parts.flatten().any(|part| part.weight == weight.0)
    }

    /// Plans the first few operations as one if a kernel does them together; how many they are.
    pub(super) fn fuse(&mut self, ops: &[Op]) -> usize {
        let found = self.attention_block(ops).or_else(|| self.gate_up(ops)).or_else(|| self.join(ops));
        found.or_else(|| self.rope_store(ops)).unwrap_or(0)
    }

    /// What some operations are for few rows and for many, which take them apart.
    pub(super) fn apart(&mut self, ops: &[Op], count: usize) -> Option<Apart> {
        let start = self.plan.calls.len();
        let mut at = 0;
        while at < count {
            let fused = self.rope_store(&ops[at..]).unwrap_or(0);
            if fused == 0 && self.op(&ops[at..]).is_err() {
                self.plan.calls.truncate(start);
                self.packed = None;
                return None;
            }
            at += fused.max(1);
        }
        let mut apart = Apart { few: Vec::new(), many: Vec::new() };
        let planned = self.plan.calls.split_off(start);
        if !self.several_rows() {
            return Some(apart);
        }
        let differs = planned.iter().any(|planned| !planned.calls.few.is_empty());
        for Planned { calls: ByRows { single, few, many }, .. } in planned {
            let many = if many.is_empty() { single } else { many };
            if differs {
                apart.few.extend(if few.is_empty() { many.clone() } else { few });
            }
            apart.many.extend(many);
        }
        Some(apart)
    }

    /// Two products that share a buffer go straight through the activation, for one token.
    fn gate_up(&mut self, ops: &[Op]) -> Option<usize> {
        let Gated { gate, up, rows, products, input, slots } = Gated::find(self.graph, ops)?;
        let Op::Gate { activation, output, .. } = &ops[products] else { return None };
        let (length, rest) = (products + 1, &ops[products + 1..]);
        let lost = slots.iter().any(|slot| slot != output && self.needed(*slot, rest));
        if input == *output || lost || self.changed(gate.0) || self.changed(up.0) {
            return None;
        }
        let (gates, ups) = (self.matrix(gate.0).ok()?, self.matrix(up.0).ok()?);
        let ([gates_piece], [ups_piece]) = (gates.pieces.as_slice(), ups.pieces.as_slice()) else { return None };
        let whole = [rows, gate.2, up.2].iter().all(|rows| rows.is_multiple_of(LANES));
        let fits = gate.2 + rows <= gates_piece.rows && up.2 + rows <= ups_piece.rows;
        if gates_piece.buffer != ups_piece.buffer || gates.columns != ups.columns || !whole || !fits {
            return None;
        }
        let units = gates.packing.units(gates.columns) as u32;
        let params = gate_up::Params {
            row_limit: self.row_limit(),
            units,
            groups: (rows / LANES) as u32,
            rows: rows as u32,
            first_gate: (gates_piece.first_group + gate.2 / LANES) as u32,
            first_up: (ups_piece.first_group + up.2 / LANES) as u32,
            input_stride: self.stride(input) / 4,
            output_stride: self.stride(*output),
            gate_scale: gate.1,
            up_scale: up.1,
        };
        let split = gate_up::split(units, &self.tuning);
        let matrix = MatrixId::Weight(gate.0.0);
        let sources = vec![
            Source::Quants { matrix, piece: 0 },
            Source::Extras { matrix, piece: 0 },
            Source::Slot(input.0),
            Source::Slot(output.0),
        ];
        let single = Call {
            program: gate_up::program(gates.packing, *activation, split),
            params: params.words(),
            sources,
            grid: params.grid(split),
        };
        let Apart { few, many } = self.apart(ops, length)?;
        self.plan.calls.push(Planned { phase: self.phase, calls: ByRows { single: vec![single], few, many } });
        Some(length)
    }

    /// A norm joins the residual stream, and the norm of that follows.
    fn join(&mut self, ops: &[Op]) -> Option<usize> {
        let [
            Op::RmsNorm { input, weight: closing, group, epsilon: closing_epsilon, output: closed },
            Op::Add { left, right, output: stream },
            Op::RmsNorm { input: from, weight, group: next_group, epsilon, output },
            rest @ ..,
        ] = ops
        else {
            return None;
        };
        let size = self.width(*stream);
        let whole = group == next_group && *group == size && self.width(*input) == size;
        let joins = (left == stream && right == closed) || (right == stream && left == closed);
        let lost = closed != output && self.needed(*closed, rest);
        if !whole || !joins || lost || from != stream || output == stream || input == stream || closed == stream {
            return None;
        }
        let norm = rms_norm::Params {
            row_limit: self.row_limit(),
            groups: 1,
            size: size as u32,
            input_stride: self.stride(*input),
            output_stride: self.stride(*output),
            epsilon: *epsilon,
        };
        let params = join::Params { norm, stream_stride: self.stride(*stream), closing_epsilon: *closing_epsilon };
        let mut sources = vec![Source::Vector(weight.0), Source::Slot(output.0)];
        sources.extend((input != output).then_some(Source::Slot(input.0)));
        sources.extend([Source::Vector(closing.0), Source::Slot(stream.0)]);
        let program = join::program(input == output, &self.tuning);
        self.push(program, params.words(), sources, params.grid());
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
