//! One layer's attention.

use std::sync::Arc;

use super::Trait;
use super::decoder::{Decoder, Slots};
use crate::EngineError;
use crate::graph::Op;

impl Decoder<'_> {
    pub(super) fn attention(&mut self) -> Result<(), EngineError> {
        let config = self.config;
        let kind = config.layers[self.layer];
        let Slots { stream, normed, query, key, value, attended, .. } = self.slots;
        self.norm(&self.name("attn_norm.weight"), config.width, stream, normed)?;
        self.heads()?;
        if self.style.has(Trait::HeadNorms) {
            self.norm(&self.name("attn_q_norm.weight"), config.head_dim, query, query)?;
            self.norm(&self.name("attn_k_norm.weight"), config.head_dim, key, key)?;
        }
        if kind.rotates {
            let angles = if kind.window.is_some() { &self.rotation.windowed } else { &self.rotation.whole };
            for (slot, heads) in [(query, config.heads), (key, config.kv_heads)] {
                self.ops.push(Op::Rope {
                    slot,
                    heads,
                    head_dim: config.head_dim,
                    pairing: self.style.pairing,
                    frequencies: Arc::clone(&angles.frequencies),
                    magnitude: angles.magnitude,
                });
            }
        }
        self.ops.push(Op::StoreCache { layer: self.layer, key, value });
        self.ops.push(Op::Attention {
            layer: self.layer,
            query,
            heads: config.heads,
            scale: config.scales.attention,
            window: kind.window,
            output: attended,
        });
        self.join("attn_output", config.query_width(), attended, "post_attention_norm.weight")
    }

    /// Queries, keys and values: from three matrices, or from one that holds all their rows.
    fn heads(&mut self) -> Result<(), EngineError> {
        let config = self.config;
        let Slots { normed, query, key, value, .. } = self.slots;
        let parts = [
            ("attn_q", config.query_width(), query),
            ("attn_k", config.kv_width(), key),
            ("attn_v", config.kv_width(), value),
        ];
        if !self.builder.holds(&self.name("attn_qkv.weight")) {
            for (part, width, output) in parts {
                self.product(part, [width, config.width], normed, output)?;
            }
            return Ok(());
        }
        let width = config.query_width() + 2 * config.kv_width();
        let fused = *self.slots.fused_heads.get_or_insert_with(|| self.builder.slot(width));
        self.product("attn_qkv", [width, config.width], normed, fused)?;
        let mut start = 0;
        for (_, width, output) in parts {
            self.ops.push(Op::Columns { input: fused, start, output });
            start += width;
        }
        Ok(())
    }
}
