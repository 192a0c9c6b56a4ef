//! What every kernel is told about the step.

use nearside_engine::backend::{MAX_CANDIDATES, SampleRule};

/// The bit of a row limit that stands for the last rows, as many as something is chosen for.
pub(crate) const LAST_ROWS: u32 = 0x8000_0000;

/// The `Step` of the kernels' prelude.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Header {
    /// Position of the first token.
    pub(crate) position: u32,
    /// Tokens in this step.
    pub(crate) rows: u32,
    /// One more than the row whose choice is this step's token; 0 when the tokens are given.
    pub(crate) sampled: u32,
    /// How many best logits are found.
    pub(crate) candidates: u32,
    /// How many last rows something is chosen for.
    pub(crate) choices: u32,
    /// How many logits change.
    pub(crate) changes: u32,
    /// 1 when a mask says what is allowed.
    pub(crate) masked: u32,
}

impl Header {
    /// Bytes of the binding.
    pub(crate) const BYTES: u64 = 64;

    /// A step of some rows, the last of which counts.
    pub(crate) fn new(position: usize, rows: usize) -> Self {
        Self { position: position as u32, rows: rows as u32, choices: 1, ..Self::default() }
    }

    /// In the prelude's order.
    pub(crate) fn words(&self) -> [u32; 7] {
        [self.position, self.rows, self.sampled, self.candidates, self.choices, self.changes, self.masked]
    }
}

/// Words of one rule as the kernel that chooses reads it.
pub(crate) const RULE_WORDS: usize = 5;

/// A rule in that kernel's order.
pub(crate) fn rule_words(rule: &SampleRule) -> [u32; RULE_WORDS] {
    // What is not a number is not above 0 either.
    let temperature = if rule.temperature > 0.0 { rule.temperature } else { 0.0 };
    let top_k = rule.top_k.min(MAX_CANDIDATES) as u32;
    [temperature.to_bits(), top_k, rule.top_p.to_bits(), rule.min_p.to_bits(), rule.draw.to_bits()]
}

/// How many candidates some rules look at, when so many are reported.
pub(crate) fn candidates_for(rules: &[SampleRule], reported: usize) -> u32 {
    let looked_at = rules.iter().map(|rule| match rule.top_k {
        _ if rule.temperature.is_nan() || rule.temperature <= 0.0 => 1,
        0 => MAX_CANDIDATES,
        count => count,
    });
    looked_at.max().unwrap_or(1).max(reported).clamp(2, MAX_CANDIDATES) as u32
}
