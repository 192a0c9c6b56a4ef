//! What every kernel is told about the step.

use nearside_engine::backend::{MAX_CANDIDATES, SampleRule};

/// The `Step` of the kernels' prelude.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Header {
    /// Position of the first token.
    pub(crate) position: u32,
    /// Tokens in this step.
    pub(crate) rows: u32,
    /// 1 when the token is the one sampled before.
    pub(crate) sampled: u32,
    /// How many best logits are found.
    pub(crate) candidates: u32,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    draw: f32,
}

impl Header {
    /// Bytes of the binding.
    pub(crate) const BYTES: u64 = 64;

    /// A step of some rows.
    pub(crate) fn new(position: usize, rows: usize) -> Self {
        Self { position: position as u32, rows: rows as u32, ..Self::default() }
    }

    /// The rule that the choice follows.
    pub(crate) fn set_rule(&mut self, rule: &SampleRule) {
        // What is not a number is not above 0 either.
        self.temperature = if rule.temperature > 0.0 { rule.temperature } else { 0.0 };
        self.top_k = rule.top_k.min(MAX_CANDIDATES) as u32;
        self.top_p = rule.top_p;
        self.min_p = rule.min_p;
        self.draw = rule.draw;
    }

    /// How many candidates a rule looks at.
    pub(crate) fn candidates_for(rule: &SampleRule, reported: usize) -> u32 {
        let looked_at = match rule.top_k {
            _ if rule.temperature.is_nan() || rule.temperature <= 0.0 => 1,
            0 => MAX_CANDIDATES,
            count => count,
        };
        looked_at.max(reported).clamp(2, MAX_CANDIDATES) as u32
    }

    /// In the prelude's order.
    pub(crate) fn words(&self) -> [u32; 9] {
        [
            self.position,
            self.rows,
            self.sampled,
            self.candidates,
            self.temperature.to_bits(),
            self.top_k,
            self.top_p.to_bits(),
            self.min_p.to_bits(),
            self.draw.to_bits(),
        ]
    }
}
