//! A graph by the plain functions that the kernels must equal.

use nearside_engine::backend::{CacheFormat, LowRank};
use nearside_engine::graph::{CacheShape, Op, Weight};

use super::Model;
use crate::kernels::pair::Pair;
use crate::kernels::{attention, embed, matmul, part, rms_norm, rope, round, store_cache};
use crate::quants::packing;

/// The graph by the plain functions.
#[derive(Clone)]
pub(crate) struct Plain<'a> {
    model: &'a Model,
    format: CacheFormat,
    slots: Vec<Vec<Vec<f32>>>,
    /// Keys and values of each layer.
    caches: Vec<[Vec<Vec<f32>>; 2]>,
    /// What adapters change, each times its factor.
    pub(crate) changes: Vec<(LowRank, f32)>,
}

impl<'a> Plain<'a> {
    /// One conversation, whose past is kept in a format.
    pub(crate) fn new(model: &'a Model, format: CacheFormat) -> Self {
        let caches = vec![[Vec::new(), Vec::new()]; model.graph.caches.len()];
        Self { model, format, slots: vec![Vec::new(); model.graph.slots.len()], caches, changes: Vec::new() }
    }

    fn vector(&self, weight: Weight) -> &[f32] {
        &self.model.weights[weight.0][0]
    }

    /// The last row's logits.
    pub(crate) fn step(&mut self, position: usize, tokens: &[u32]) -> Vec<f32> {
        self.rows(position, tokens, 1).pop().unwrap_or_default()
    }

    /// The logits of so many last rows.
    pub(crate) fn rows(&mut self, position: usize, tokens: &[u32], count: usize) -> Vec<Vec<f32>> {
        let model = self.model;
        for op in &model.graph.ops {
            self.op(op, position, tokens, count);
        }
        self.slots[model.graph.logits.0].clone()
    }

    /// The hidden states of the step before.
    #[cfg(test)]
    pub(crate) fn hidden(&self) -> Vec<f32> {
        self.slots[self.model.graph.hidden.0].concat()
    }

    /// What adapters add to a product.
    fn change(&self, weight: Weight, input: &[f32], product: &mut [f32], scale: f32) {
        for (change, factor) in self.changes.iter().filter(|(change, _)| change.weight == weight) {
            let narrow: Vec<f32> =
                change.down.chunks(input.len()).map(|row| row.iter().zip(input).map(|(a, b)| a * b).sum()).collect();
            for (value, row) in product.iter_mut().zip(change.up.chunks(change.rank)) {
                *value += scale * factor * row.iter().zip(&narrow).map(|(a, b)| a * b).sum::<f32>();
            }
        }
    }

    fn op(&mut self, op: &Op, position: usize, tokens: &[u32], count: usize) {
        match op {
            Op::Embed { table, scale, output } => {
                self.slots[output.0] = embed::plain(&self.model.weights[table.0], tokens, *scale);
            }
            Op::RmsNorm { input, weight, epsilon, output, .. } => {
                let rows = &self.slots[input.0];
                self.slots[output.0] =
                    rows.iter().map(|row| rms_norm::plain(row, self.vector(*weight), *epsilon)).collect();
            }
            Op::MatMul { weight, bias, scale, residual, input, output } => {
                let packing = packing(self.model.tensors[weight.0].data_type);
                let rows = self.slots[input.0].iter().enumerate().map(|(row, values)| {
                    let rounded = packing.map_or_else(Vec::new, |packing| round::plain_for(packing, values));
                    let bias = bias.map(|bias| self.vector(bias));
                    let residual = residual.map(|slot| self.slots[slot.0][row].as_slice());
                    let mut product = matmul::plain(&self.model.weights[weight.0], &rounded, *scale, bias, residual);
                    self.change(*weight, values, &mut product, *scale);
                    product
                });
                self.slots[output.0] = rows.collect();
            }
            Op::Rope { slot, head_dim, pairing, frequencies, magnitude, .. } => {
                for (row, values) in self.slots[slot.0].iter_mut().enumerate() {
                    let turns: Vec<_> = rope::turns(frequencies, *magnitude, position + row).collect();
                    rope::plain(values, *head_dim, *pairing, &turns);
                }
            }
            Op::StoreCache { layer, key, value } => {
                for (cache, slot) in self.caches[*layer].iter_mut().zip([key, value]) {
                    cache.truncate(position);
                    let head_dim = self.model.graph.caches[*layer].head_dim;
                    cache.extend(self.slots[slot.0].iter().map(|row| store_cache::kept(row, head_dim, self.format)));
                }
            }
            Op::Attention { layer, query, heads, scale, window, output } => {
                let CacheShape { heads: cache_heads, head_dim } = self.model.graph.caches[*layer];
                let rows = self.slots[query.0].iter().enumerate().map(|(row, values)| {
                    let end = position + row + 1;
                    let start = window.map_or(0, |window| end.saturating_sub(window));
                    (0..*heads)
                        .flat_map(|head| {
                            let at = head / (heads / cache_heads) * head_dim;
                            let part = |cache: &[Vec<f32>]| -> Vec<Vec<f32>> {
                                cache[start..end].iter().map(|row| row[at..at + head_dim].to_vec()).collect()
                            };
                            let [keys, values_of] = &self.caches[*layer];
                            let query = &values[head * head_dim..][..head_dim];
                            attention::plain(query, &part(keys), &part(values_of), *scale)
                        })
                        .collect()
                });
                self.slots[output.0] = rows.collect();
            }
            Op::Gate { gate, up, activation, output } => {
                let rows = self.slots[gate.0].iter().zip(&self.slots[up.0]);
                self.slots[output.0] = rows.map(|(gate, up)| Pair::Gated(*activation).plain(gate, up)).collect();
            }
            Op::Add { left, right, output } => {
                let rows = self.slots[left.0].iter().zip(&self.slots[right.0]);
                self.slots[output.0] = rows.map(|(left, right)| Pair::Sum.plain(left, right)).collect();
            }
            Op::Columns { input, start, output } => {
                let width = self.model.graph.slots[output.0];
                let input = &self.slots[input.0];
                self.slots[output.0] = part::plain(input, input.len(), *start, width);
            }
            Op::LastRows { input, output } => {
                let width = self.model.graph.slots[output.0];
                self.slots[output.0] = part::plain(&self.slots[input.0], count, 0, width);
            }
        }
    }
}
