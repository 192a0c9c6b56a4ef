//! What is known of a graph before it runs.

use std::sync::Arc;

use nearside_engine::backend::{BackendError, Want};
use nearside_engine::graph::{Graph, Op, Slot};

use crate::memory::{grow, out_of_memory};
use crate::ops::Angles;

/// Which operations run, how long their slots are, and which angles they rotate by.
pub(super) struct Plan {
    /// For each slot whether it only holds the rows that tokens are chosen for.
    few_rows: Vec<bool>,
    /// Operations up to the last that fills the cache.
    filling: usize,
    /// Operations up to the copy of the last rows.
    hidden: usize,
    tables: Vec<Table>,
    /// For each operation which table it rotates by.
    table_of: Vec<usize>,
}

/// The angles that some operations have in common.
struct Table {
    frequencies: Arc<[f32]>,
    magnitude: f32,
    angles: Angles,
}

impl Plan {
    pub(super) fn new(graph: &Graph, batch: usize) -> Result<Self, BackendError> {
        let mut few_rows = vec![true; graph.slots.len()];
        let hidden = graph.ops.iter().position(|op| matches!(op, Op::LastRows { .. })).unwrap_or(graph.ops.len());
        let mut all = |slot: &Slot| few_rows[slot.0] = false;
        for op in &graph.ops[..hidden] {
            slots_of(op, &mut all);
        }
        if let Some(Op::LastRows { input, .. }) = graph.ops.get(hidden) {
            all(input);
        }
        all(&graph.hidden);
        let filling = graph.ops.iter().rposition(|op| matches!(op, Op::StoreCache { .. })).map_or(0, |index| index + 1);
        let mut tables: Vec<Table> = Vec::new();
        let mut table_of = vec![0; graph.ops.len()];
        for (op, table_of) in graph.ops.iter().zip(&mut table_of) {
            let Op::Rope { frequencies, magnitude, .. } = op else { continue };
            let same =
                |table: &Table| table.frequencies == *frequencies && table.magnitude.to_bits() == magnitude.to_bits();
            *table_of = tables.iter().position(same).unwrap_or(tables.len());
            if *table_of == tables.len() {
                let mut angles = Angles::default();
                angles.reserve(batch.saturating_mul(frequencies.len()))?;
                tables.push(Table { frequencies: Arc::clone(frequencies), magnitude: *magnitude, angles });
            }
        }
        Ok(Self { few_rows, filling, hidden, tables, table_of })
    }

    /// Makes room in every slot: for the whole batch, or for the rows that tokens are chosen for.
    pub(super) fn reserve(
        &self,
        graph: &Graph,
        slots: &mut [Vec<f32>],
        batch: usize,
        chosen: usize,
    ) -> Result<(), BackendError> {
        let purpose = || "a slot of the graph".to_owned();
        for ((&width, few), slot) in graph.slots.iter().zip(&self.few_rows).zip(slots) {
            let rows = if *few { chosen } else { batch };
            let length = width.checked_mul(rows).ok_or_else(|| out_of_memory(u64::MAX, purpose()))?;
            if slot.len() < length {
                grow(slot, length, 0.0, purpose)?;
            }
        }
        Ok(())
    }

    /// Works out what a step's positions rotate by.
    pub(super) fn fill_angles(&mut self, position: usize, rows: usize) {
        for Table { frequencies, magnitude, angles } in &mut self.tables {
            angles.fill(position, rows, frequencies, *magnitude);
        }
    }

    /// What an operation rotates by.
    pub(super) fn angles(&self, operation: usize) -> Option<&Angles> {
        self.tables.get(*self.table_of.get(operation)?).map(|table| &table.angles)
    }

    /// How many operations have to run for what a step wants.
    pub(super) fn operations(&self, want: Want<'_>, all: usize) -> usize {
        match want {
            Want::Nothing => self.filling,
            Want::Hidden => self.hidden,
            Want::Sample(..) | Want::Hold | Want::Logits => all,
        }
    }
}

/// Tells of each slot that an operation reads or writes.
fn slots_of(op: &Op, tell: &mut dyn FnMut(&Slot)) {
    match op {
        Op::Embed { output, .. } => tell(output),
        Op::RmsNorm { input, output, .. } | Op::Columns { input, output, .. } | Op::LastRows { input, output } => {
            tell(input);
            tell(output);
        }
        Op::MatMul { residual, input, output, .. } => {
            residual.iter().for_each(&mut *tell);
            tell(input);
            tell(output);
        }
        Op::Rope { slot, .. } => tell(slot),
        Op::StoreCache { key, value, .. } => {
            tell(key);
            tell(value);
        }
        Op::Attention { query, output, .. } => {
            tell(query);
            tell(output);
        }
        Op::Gate { gate: left, up: right, output, .. } | Op::Add { left, right, output } => {
            tell(left);
            tell(right);
            tell(output);
        }
    }
}
