//! Every operation but the products.

use nearside_engine::backend::{BackendError, CacheFormat};
use nearside_engine::graph::{Op, RopePairing, Slot, Weight};

use super::{ByRows, Call, Phase, Planned, Planner, stride, turn_count, unsupported};
use crate::binding::{MatrixId, Source};
use crate::kernels::pair::{self, Pair};
use crate::kernels::part::{self, Rows};
use crate::kernels::{attention, change_logits, embed, rms_norm, rope, sample, store_cache};
use crate::quants::UNIT;

impl Planner<'_> {
    /// Plans the first of some operations by itself.
    pub(super) fn op(&mut self, ops: &[Op]) -> Result<(), BackendError> {
        let [op, ..] = ops else { return Ok(()) };
        self.at = self.graph.ops.len() - ops.len();
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
                self.pair(Pair::Gated(*activation), *gate, *up, *output);
                Ok(())
            }
            Op::Add { left, right, output } => {
                self.pair(Pair::Sum, *left, *right, *output);
                Ok(())
            }
            Op::Columns { input, start, output } => {
                self.part(Rows::All, *input, *start, *output);
                Ok(())
            }
            Op::LastRows { input, output } => {
                self.part(Rows::Last, *input, 0, *output);
                Ok(())
            }
        }
    }

    fn pair(&mut self, pair: Pair, left: Slot, right: Slot, output: Slot) {
        let params = pair::Params { row_limit: self.row_limit(), stride: self.stride(output) / 4 };
        let others = [left, right].into_iter().filter(|slot| *slot != output);
        let sources = std::iter::once(output).chain(others).map(|slot| Source::Slot(slot.0)).collect();
        self.push(pair.program(left == output, right == output), params.words(), sources, params.grid());
    }

    fn part(&mut self, rows: Rows, input: Slot, start: usize, output: Slot) {
        let params = part::Params {
            row_limit: self.row_limit(),
            width: self.width(output) as u32,
            start: start as u32,
            input_stride: self.stride(input),
            output_stride: self.stride(output),
        };
        let sources = vec![Source::Slot(input.0), Source::Slot(output.0)];
        self.push(part::program(rows), params.words(), sources, params.grid());
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
            let matrix = MatrixId::Weight(table.0);
            let sources = vec![
                Source::Quants { matrix, piece: index },
                Source::Extras { matrix, piece: index },
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
        let program = rms_norm::program(input == output, &self.tuning);
        self.push(program, params.words(), sources, params.grid());
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
            table_stride: turn_count(self.graph) as u32,
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
            head_dim: shape.head_dim as u32,
            context: self.options.context as u32,
            key_stride: self.stride(key) / 4,
            value_stride: self.stride(value) / 4,
        };
        let format = self.options.cache;
        let mut sources = vec![Source::Slot(key.0), Source::Slot(value.0), Source::Keys(layer), Source::Values(layer)];
        if format == CacheFormat::Q8_0 {
            sources.extend([Source::KeyScales(layer), Source::ValueScales(layer)]);
        }
        self.push(store_cache::program(format), params.words(), sources, params.grid(format));
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
        let format = self.options.cache;
        let mut sources =
            vec![Source::Slot(query.0), Source::Keys(layer), Source::Values(layer), Source::Slot(output.0)];
        if format == CacheFormat::Q8_0 {
            sources.extend([Source::KeyScales(layer), Source::ValueScales(layer)]);
        }
        let call = |single| Call {
            program: attention::program(shape.head_dim as u32, single, format, &self.tuning),
            params: params.words(),
            sources: sources.clone(),
            grid: params.grid(shape.head_dim as u32, single),
        };
        let calls = ByRows { single: vec![call(true)], few: Vec::new(), many: vec![call(false)] };
        self.plan.calls.push(Planned { phase: self.phase, calls });
        Ok(())
    }

    /// What leads from logits to tokens.
    pub(super) fn choose(&mut self) {
        let deal = self.plan.deal;
        let stride = self.stride(self.graph.logits);
        let logits = Source::Slot(self.graph.logits.0);
        let (groups, selected, result) = (Source::Groups, Source::Selected, Source::Result);
        self.phase = Phase::Change;
        let params = change_logits::Params { vocabulary: deal.vocabulary };
        self.push(change_logits::program(), params.words(), vec![Source::Changes, logits], params.grid());
        self.phase = Phase::Sample;
        let limit = self.row_limit();
        self.push(sample::group_best(), deal.best_words(limit, stride), vec![logits, groups], deal.groups_grid());
        self.push(sample::select_groups(), deal.groups_words(limit), vec![groups, selected], deal.groups_grid());
        let sources = vec![logits, selected, result];
        let words = deal.candidates_words(limit, stride);
        self.push(sample::select_candidates(), words, sources, deal.candidates_grid());
        let sources = vec![groups, Source::Rules, result];
        self.push(sample::choose(&self.tuning), deal.choose_words(limit), sources, sample::CHOOSE_GRID);
    }
}
