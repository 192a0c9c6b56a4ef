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
        let (logits, vocabulary) = (&self.buffers.slots[self.graph.logits.0], self.graph.vocabulary);
        let mut found = vec![None; rules.len()];
        self.pool.for_each_chunk(&mut found, 1, &|row, place| {
            place[0] = choice(&logits[row * vocabulary..][..vocabulary], &rules[row], candidates);
        });
        let choices = found.into_iter().collect::<Option<Vec<_>>>().ok_or_else(nothing_to_choose)?;
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
        let choice = choice(logits, &held.rule, held.candidates).ok_or_else(nothing_to_choose)?;
        self.sampled = Some(choice.token);
        Ok(StepOutput { choices: vec![choice], ..StepOutput::default() })
    }
}

fn nothing_to_choose() -> BackendError {
    invalid("no token can be chosen")
}

fn choice(logits: &[f32], rule: &SampleRule, count: usize) -> Option<Choice> {
    let mut candidates = top_candidates(logits, MAX_CANDIDATES);
    // What is not allowed is last and has no weight, but would be chosen if nothing were allowed.
    let chosen = candidates.first().filter(|best| best.logit > f32::NEG_INFINITY);
    let token = chosen.and_then(|_| choose(&candidates, rule))?;
    candidates.truncate(count.max(2));
    Some(Choice { token, candidates, log_sum_exp: log_sum_exp(logits) })
}

/// `ln Σ exp(logit)`, as [`nearside_engine::sampling::log_sum_exp`] has it.
fn log_sum_exp(logits: &[f32]) -> f32 {
    let best = largest(logits);
    if best.is_finite() { best + sum_exp(logits, best).ln() as f32 } else { best }
}
