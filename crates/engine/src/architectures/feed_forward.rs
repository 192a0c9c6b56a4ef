//! One layer's gated feed-forward.

use super::Trait;
use super::decoder::{Decoder, Slots};
use crate::EngineError;
use crate::graph::Op;

impl Decoder<'_> {
    pub(super) fn feed_forward(&mut self) -> Result<(), EngineError> {
        let (width, inside) = (self.config.width, self.config.feed_forward);
        let Slots { stream, normed, gate, up, .. } = self.slots;
        self.norm(&self.name("ffn_norm.weight"), width, stream, normed)?;
        if self.style.has(Trait::FusedGate) {
            let fused = *self.slots.fused_gate.get_or_insert_with(|| self.builder.slot(2 * inside));
            self.product("ffn_up", [2 * inside, width], normed, fused)?;
            self.ops.push(Op::Columns { input: fused, start: 0, output: gate });
            self.ops.push(Op::Columns { input: fused, start: inside, output: up });
        } else {
            self.product("ffn_gate", [inside, width], normed, gate)?;
            self.product("ffn_up", [inside, width], normed, up)?;
        }
        self.ops.push(Op::Gate { gate, up, activation: self.style.activation, output: gate });
        self.join("ffn_down", inside, gate, "post_ffw_norm.weight")
    }
}
