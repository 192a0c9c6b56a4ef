//! Low-rank changes of weights, held beside them.

use std::collections::HashMap;

use nearside_engine::backend::{AdapterId, BackendError, LowRank, LowRanks};
use nearside_engine::graph::{Graph, Op};

use crate::memory::grow;
use crate::pool::Pool;
use crate::simd::dot_f32;

/// Elements of a product that one part of the work changes.
const PART: usize = 512;

/// The adapters that are held, and which of them change the products.
#[derive(Default)]
pub(crate) struct Adapters {
    held: HashMap<usize, Vec<LowRank>>,
    next: usize,
    active: Vec<(usize, f32)>,
    /// Inputs narrowed to an adapter's rank.
    narrow: Vec<f32>,
}

fn wrong(problem: String) -> BackendError {
    BackendError::InvalidStep { problem }
}

impl Adapters {
    pub(crate) fn add(&mut self, graph: &Graph, parts: &mut LowRanks<'_>) -> Result<AdapterId, BackendError> {
        let mut held: Vec<LowRank> = Vec::new();
        for part in parts {
            let part = part?;
            check(graph, &part)?;
            if held.iter().any(|other| other.weight == part.weight) {
                let name = &graph.weights[part.weight.0].name;
                return Err(wrong(format!("the adapter changes `{name}` twice")));
            }
            held.push(part);
        }
        let id = self.next;
        self.next += 1;
        self.held.insert(id, held);
        Ok(AdapterId(id))
    }

    pub(crate) fn activate(&mut self, active: &[(AdapterId, f32)]) -> Result<(), BackendError> {
        if let Some((missing, _)) = active.iter().find(|(adapter, _)| !self.held.contains_key(&adapter.0)) {
            return Err(wrong(format!("there is no adapter {}", missing.0)));
        }
        self.active = active.iter().map(|(adapter, factor)| (adapter.0, *factor)).collect();
        Ok(())
    }

    pub(crate) fn remove(&mut self, adapter: AdapterId) {
        self.active.retain(|(active, _)| *active != adapter.0);
        self.held.remove(&adapter.0);
    }

    /// Adds to the products of a weight with rows of inputs what the active adapters change.
    pub(crate) fn change(
        &mut self,
        pool: &Pool,
        weight: usize,
        inputs: &[f32],
        products: &mut [f32],
    ) -> Result<(), BackendError> {
        for (adapter, factor) in &self.active {
            let parts = self.held.get(adapter).map_or(&[][..], Vec::as_slice);
            for LowRank { rank, down, up, .. } in parts.iter().filter(|part| part.weight.0 == weight) {
                let (rank, columns, features) = (*rank, down.len() / rank, up.len() / rank);
                let rows = inputs.len() / columns;
                grow(&mut self.narrow, rows * rank, 0.0, || "an adapter's inputs".to_owned())?;
                let narrow = &mut self.narrow[..rows * rank];
                pool.for_each_chunk(narrow, rank, &|row, narrow| {
                    let input = &inputs[row * columns..][..columns];
                    for (value, down) in narrow.iter_mut().zip(down.chunks_exact(columns)) {
                        *value = factor * dot_f32(down, input);
                    }
                });
                let narrow = &*narrow;
                pool.for_each_chunk(products, PART, &|part, products| {
                    for (index, product) in products.iter_mut().enumerate() {
                        let (row, feature) = ((part * PART + index) / features, (part * PART + index) % features);
                        *product += dot_f32(&up[feature * rank..][..rank], &narrow[row * rank..][..rank]);
                    }
                });
            }
        }
        Ok(())
    }
}

fn check(graph: &Graph, part: &LowRank) -> Result<(), BackendError> {
    let index = part.weight.0;
    let Some(spec) = graph.weights.get(index) else {
        return Err(wrong(format!("the model has no weight {index}, which the adapter changes")));
    };
    let name = &spec.name;
    if !graph.ops.iter().any(|op| matches!(op, Op::MatMul { weight, .. } if weight.0 == index)) {
        return Err(wrong(format!("`{name}` is not multiplied with anything, so an adapter cannot change it")));
    }
    let sizes = (part.rank.checked_mul(spec.columns), part.rank.checked_mul(spec.rows));
    if part.rank == 0 || sizes != (Some(part.down.len()), Some(part.up.len())) {
        let (rank, down, up) = (part.rank, part.down.len(), part.up.len());
        return Err(wrong(format!(
            "the adapter's change of `{name}` has rank {rank} with {down} and {up} elements, which do not fit {} by {}",
            spec.rows, spec.columns
        )));
    }
    Ok(())
}
