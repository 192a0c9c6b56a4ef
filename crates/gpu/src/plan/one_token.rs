//! A layer's attention for one token: all heads' products in one dispatch, attention in slices, and what puts
//! those together. For several tokens the operations stay apart.

use nearside_engine::backend::CacheFormat;
use nearside_engine::graph::{Op, RopePairing};
use nearside_gguf::DataType;

use super::blocks::{Block, Layout, Members};
use super::fusion::Apart;
use super::{ByRows, Call, Planned, Planner};
use crate::binding::{MatrixId, Source};
use crate::kernels::matmul::Split;
use crate::kernels::{attend, combine, heads};
use crate::quants::{LANES, Packing};
use crate::weights::{Matrix, Piece};

/// Matrices of a block that lie one after the other in one buffer.
struct Stacked<'a> {
    matrix: MatrixId,
    packing: &'a Packing,
    piece: &'a Piece,
    stack: heads::Stack,
}

impl Planner<'_> {
    pub(super) fn attention_block(&mut self, ops: &[Op]) -> Option<usize> {
        let block = Block::find(self.graph, ops)?;
        let rest = &ops[block.length..];
        let changed = block.products.iter().any(|product| self.changed(product.weight));
        if changed || block.slots.iter().any(|slot| self.needed(*slot, rest)) {
            return None;
        }
        let layout = self.layout(&block)?;
        let products = self.head_products(&block, &layout)?;
        let (attend, combine) = self.slices(&block, &layout)?;
        let last = block.length - 1;
        let before = self.apart(ops, last)?;
        let phase = self.phase;
        // In the last layer, what attends is no longer needed to fill the cache.
        let after_phase = self.phase_at(self.index + last);
        self.phase = after_phase;
        let after = self.apart(&ops[last..], 1);
        self.phase = phase;
        let single = products.into_iter().chain([attend]).collect();
        let Apart { few, many } = before;
        self.plan.calls.push(Planned { phase, calls: ByRows { single, few, many } });
        let Apart { few, many } = after?;
        let calls = ByRows { single: vec![combine], few, many };
        self.plan.calls.push(Planned { phase: after_phase, calls });
        Some(block.length)
    }

    fn layout(&self, block: &Block<'_>) -> Option<Layout> {
        let known = block.products.iter().all(|product| self.matrix(product.weight).is_ok());
        known.then(|| {
            let format = |matrix: &Option<Matrix>| matrix.as_ref().map(|matrix| matrix.packing.data_type);
            block.layout(|weight| format(&self.weights.matrices[weight.0]).unwrap_or(DataType::F32))
        })
    }

    /// Where vectors lie side by side: a source or none, unless they were not loaded so.
    fn joined(&self, members: Option<Members>) -> Option<Vec<Source>> {
        members.map_or(Some(Vec::new()), |members| Some(vec![Source::Joined(self.weights.joined(&members)?)]))
    }

    /// The products of a block, in as few dispatches as their formats allow.
    fn head_products(&self, block: &Block<'_>, layout: &Layout) -> Option<Vec<Call>> {
        let bias = self.joined(block.biases(layout))?;
        let mut stacks: Vec<Stacked<'_>> = Vec::new();
        let mut column = 0;
        for index in &layout.order {
            let product = &block.products[*index];
            let matrix = self.matrix(product.weight).ok()?;
            let [piece] = matrix.pieces.as_slice() else { return None };
            let rows = piece.rows as u32;
            match stacks.last_mut() {
                Some(last)
                    if last.piece.buffer == piece.buffer
                        && last.stack.rows.is_multiple_of(LANES as u32)
                        && (last.stack.first_group + last.stack.groups) as usize == piece.first_group =>
                {
                    last.stack.groups += rows.div_ceil(LANES as u32);
                    last.stack.rows += rows;
                }
                _ => stacks.push(Stacked {
                    matrix: MatrixId::Weight(product.weight.0),
                    packing: matrix.packing,
                    piece,
                    stack: heads::Stack {
                        units: matrix.packing.units(matrix.columns) as u32,
                        groups: rows.div_ceil(LANES as u32),
                        rows,
                        first_group: piece.first_group as u32,
                        column,
                    },
                }),
            }
            column += rows;
        }
        let calls = stacks.chunks(heads::STACKS).map(|chunk| {
            let mut taken = [heads::Stack::default(); heads::STACKS];
            let mut sources = vec![Source::Slot(block.input.0), Source::Heads];
            sources.extend(&bias);
            for (taken, stacked) in taken.iter_mut().zip(chunk) {
                *taken = stacked.stack;
                let matrix = stacked.matrix;
                sources.extend([Source::Quants { matrix, piece: 0 }, Source::Extras { matrix, piece: 0 }]);
            }
            let params = heads::Params { stacks: taken, scale: block.scale };
            let split = Split::single(taken[0].units, &self.tuning);
            let packings: Vec<_> = chunk.iter().map(|stacked| stacked.packing).collect();
            Call {
                program: heads::program(&packings, !bias.is_empty(), split),
                params: params.words(),
                sources,
                grid: params.grid(split),
            }
        });
        Some(calls.collect())
    }

    /// What attends and what puts it together.
    fn slices(&self, block: &Block<'_>, layout: &Layout) -> Option<(Call, Call)> {
        let form = form(block, self.options.context, self.options.cache, self.tuning.slices);
        let norms = self.joined(block.norm_weights())?;
        let (layer, window) = (block.layer, block.window.map_or(u32::MAX, |window| window as u32));
        let (pairs, pairing, table_offset) = match &block.rotation {
            None => (0, RopePairing::Halves, 0),
            Some(rotation) => {
                let offset = self.turn_offset(rotation.frequencies, rotation.magnitude)?;
                (rotation.frequencies.len(), rotation.pairing, offset)
            }
        };
        let params = attend::Params {
            groups: block.heads as u32 / form.queries,
            share: (block.heads / block.shape.heads) as u32,
            context: self.options.context as u32,
            window,
            columns: layout.columns.map(|column| column as u32),
            pairs: pairs as u32,
            pairing,
            table_offset: table_offset as u32,
            scale: block.attention_scale,
            query_epsilon: block.norms[0].map_or(0.0, |norm| norm.1),
            key_epsilon: block.norms[1].map_or(0.0, |norm| norm.1),
        };
        let mut sources = vec![Source::Heads, Source::Keys(layer), Source::Values(layer), Source::Partials];
        sources.extend(form.rotates.then_some(Source::Turns));
        sources.extend(norms);
        if form.format == CacheFormat::Q8_0 {
            sources.extend([Source::KeyScales(layer), Source::ValueScales(layer)]);
        }
        let program = form.program(&self.tuning);
        let attend = Call { program, params: params.words(), sources, grid: form.grid(params.groups) };
        let quads = (block.heads * block.shape.head_dim / 4) as u32;
        let together = combine::Params { quads, window };
        let combine = Call {
            program: combine::program(form.head_dim, form.splits),
            params: together.words(),
            sources: vec![Source::Partials, Source::Slot(block.output.0)],
            grid: together.grid(),
        };
        Some((attend, combine))
    }
}

/// What the kernel that attends is made for.
pub(super) fn form(block: &Block<'_>, context: usize, format: CacheFormat, slices: u32) -> attend::Form {
    let head_dim = block.shape.head_dim as u32;
    let queries = attend::queries(head_dim, (block.heads / block.shape.heads) as u32);
    attend::Form {
        head_dim,
        queries,
        splits: attend::splits(block.heads as u32 / queries, context, slices),
        rotates: block.rotation.is_some(),
        query_norm: block.norms[0].is_some(),
        key_norm: block.norms[1].is_some(),
        format,
    }
}
