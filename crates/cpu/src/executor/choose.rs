//! Choices from logits.

use nearside_engine::backend::{BackendError, Choice, HeldChoice, MAX_CANDIDATES, SampleRule, StepOutput};
use nearside_engine::sampling::{adjust, choose, top_candidates};

use super::{CpuExecutor, invalid};
use crate::simd::{largest, sum_exp};

impl CpuExecutor {
    /// The logits of one of the last rows.
    pub(super) fn logits(&self, row: usize) -> &[f32] {
        &self.buffers.slots[self.graph.logits.0][row * self.graph.vocabulary..][..self.graph.vocabulary]
    }

    /// Chooses for as many rows as there are rules.
    pub(super) fn choose_rows(&mut self, rules: &[SampleRule], candidates: usize) -> Result<StepOutput, BackendError> {
        let choose = |(row, rule)| choice(self.logits(row), rule, candidates);
        let choices = rules.iter().enumerate().map(choose).collect::<Result<Vec<_>, _>>()?;
        self.sampled = choices.last().map(|choice| choice.token);
        Ok(StepOutput { choices, ..StepOutput::default() })
    }

    /// Chooses from the logits that the step before held.
    pub(super) fn choose_held(&mut self, held: &HeldChoice<'_>) -> Result<StepOutput, BackendError> {
        self.sampled = None;
        if !std::mem::take(&mut self.held) {
            return Err(invalid("a choice without a step just before it that held its logits"));
        }
        let logits = &mut self.buffers.slots[self.graph.logits.0][..self.graph.vocabulary];
        adjust(logits, held.changes, held.allowed);
        let choice = choice(logits, &held.rule, held.candidates)?;
        self.sampled = Some(choice.token);
        Ok(StepOutput { choices: vec![choice], ..StepOutput::default() })
    }
}

fn choice(logits: &[f32], rule: &SampleRule, count: usize) -> Result<Choice, BackendError> {
    let mut candidates = top_candidates(logits, MAX_CANDIDATES);
    // What is not allowed is last and has no weight, but would be chosen if nothing were allowed.
    let chosen = candidates.first().filter(|best| best.logit > f32::NEG_INFINITY);
    let token = chosen.and_then(|_| choose(&candidates, rule)).ok_or_else(|| invalid("no token can be chosen"))?;
    candidates.truncate(count.max(2));
    Ok(Choice { token, candidates, log_sum_exp: log_sum_exp(logits) })
}

/// `ln Σ exp(logit)`, as [`nearside_engine::sampling::log_sum_exp`] has it.
fn log_sum_exp(logits: &[f32]) -> f32 {
    let best = largest(logits);
    if best.is_finite() { best + sum_exp(logits, best).ln() as f32 } else { best }
}
