//! What a token's own past does to its logit.

use std::collections::BTreeMap;

use crate::backend::{LogitChange, TokenId};
use crate::{GenerateOptions, Sampling};

/// Counts what the penalties look at.
pub(super) struct Penalties {
    repetition: f32,
    window: usize,
    frequency: f32,
    presence: f32,
    bias: Vec<(TokenId, f32)>,
    /// How often each token stands in the answer.
    counts: BTreeMap<TokenId, u32>,
    /// Tokens of the answer that are counted.
    counted: usize,
}

impl Penalties {
    /// Nothing counted yet.
    pub(super) fn new(options: &GenerateOptions) -> Self {
        let Sampling { repetition_penalty, repetition_window, frequency_penalty, presence_penalty, .. } =
            options.sampling;
        Self {
            repetition: repetition_penalty,
            window: repetition_window,
            frequency: frequency_penalty,
            presence: presence_penalty,
            bias: options.logit_bias.clone(),
            counts: BTreeMap::new(),
            counted: 0,
        }
    }

    /// Whether they change anything at all.
    pub(super) fn wanted(options: &GenerateOptions) -> bool {
        let sampling = &options.sampling;
        repeats(sampling.repetition_penalty)
            || sampling.frequency_penalty != 0.0
            || sampling.presence_penalty != 0.0
            || !options.logit_bias.is_empty()
    }

    /// The changes before the choice that follows this answer, lowest token first.
    pub(super) fn changes(&mut self, prompt: &[TokenId], answer: &[TokenId]) -> Vec<LogitChange> {
        for token in answer.get(self.counted..).unwrap_or_default() {
            *self.counts.entry(*token).or_default() += 1;
        }
        self.counted = answer.len();
        let mut changes: BTreeMap<TokenId, (f32, f32)> = BTreeMap::new();
        if repeats(self.repetition) {
            let past = answer.iter().rev().chain(prompt.iter().rev());
            for token in past.take(self.window) {
                changes.insert(*token, (self.repetition, 0.0));
            }
        }
        if self.frequency != 0.0 || self.presence != 0.0 {
            for (token, count) in &self.counts {
                let change = changes.entry(*token).or_insert((1.0, 0.0));
                change.1 -= self.presence + self.frequency * *count as f32;
            }
        }
        for (token, bias) in &self.bias {
            changes.entry(*token).or_insert((1.0, 0.0)).1 += bias;
        }
        changes.into_iter().map(|(token, (divisor, bias))| LogitChange { token, divisor, bias }).collect()
    }
}

/// Whether a repetition penalty is one.
fn repeats(penalty: f32) -> bool {
    penalty - 1.0 != 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalties(sampling: Sampling, logit_bias: Vec<(TokenId, f32)>) -> Penalties {
        let options = GenerateOptions { sampling, logit_bias, ..GenerateOptions::default() };
        assert!(Penalties::wanted(&options));
        Penalties::new(&options)
    }

    fn written(changes: &[LogitChange]) -> Vec<String> {
        changes.iter().map(|change| format!("{}/{}{:+}", change.token, change.divisor, change.bias)).collect()
    }

    #[test]
    fn repetition_counts_the_last_tokens_of_prompt_and_answer() {
        let sampling = Sampling { repetition_penalty: 1.5, repetition_window: 3, ..Sampling::default() };
        let mut penalties = penalties(sampling, Vec::new());
        assert_eq!(written(&penalties.changes(&[1, 2, 3], &[])), ["1/1.5+0", "2/1.5+0", "3/1.5+0"]);
        assert_eq!(written(&penalties.changes(&[1, 2, 3], &[9])), ["2/1.5+0", "3/1.5+0", "9/1.5+0"]);
        assert_eq!(written(&penalties.changes(&[1, 2, 3], &[9, 8, 9, 8])), ["8/1.5+0", "9/1.5+0"]);
    }

    #[test]
    fn frequency_and_presence_count_the_answer_alone() {
        let sampling = Sampling { frequency_penalty: 0.5, presence_penalty: 0.25, ..Sampling::default() };
        let mut penalties = penalties(sampling, Vec::new());
        assert!(penalties.changes(&[5, 5, 5], &[]).is_empty());
        assert_eq!(written(&penalties.changes(&[5, 5, 5], &[7])), ["7/1-0.75"]);
        assert_eq!(written(&penalties.changes(&[5, 5, 5], &[7, 7, 6])), ["6/1-0.75", "7/1-1.25"]);
    }

    #[test]
    fn biases_add_to_the_penalties() {
        let sampling = Sampling { presence_penalty: 1.0, ..Sampling::default() };
        let mut penalties = penalties(sampling, vec![(7, 3.0), (2, -100.0)]);
        assert_eq!(written(&penalties.changes(&[], &[7])), ["2/1-100", "7/1+2"]);
    }

    #[test]
    fn ordinary_sampling_changes_nothing() {
        assert!(!Penalties::wanted(&GenerateOptions::default()));
    }
}
