//! From logits to a token, on the device: the best candidates, the log-sum-exp and the choice.
//!
//! Sorting a vocabulary is too much work and reading it back too slow. The logits are dealt into
//! groups; each group's best is found, then the groups with the best bests, then the best of those
//! groups' logits. Ranks come from counting, so no step but the last needs a barrier.

use nearside_engine::backend::MAX_CANDIDATES;

use super::{Access, ELEMENT_THREADS, Grid, Program};

/// Words of the result before the candidates.
pub(crate) const RESULT_HEADER: usize = 4;

/// Words of the result: token, log-sum-exp, count, nothing; then token and logit of each candidate.
pub(crate) const RESULT_WORDS: usize = RESULT_HEADER + 2 * MAX_CANDIDATES;

/// How a vocabulary is dealt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deal {
    pub(crate) vocabulary: u32,
    /// How many groups.
    pub(crate) groups: u32,
    /// Logits in the longest group.
    pub(crate) length: u32,
}

impl Deal {
    pub(crate) fn new(vocabulary: u32) -> Self {
        // With 8 √v groups, as many logits remain in 64 groups as there are groups.
        let groups = (8 * vocabulary.isqrt()).next_multiple_of(ELEMENT_THREADS).min(vocabulary).max(1);
        Self { vocabulary, groups, length: vocabulary.div_ceil(groups) }
    }

    pub(crate) fn best_words(self) -> Vec<u32> {
        vec![self.vocabulary, self.groups]
    }

    pub(crate) fn groups_words(self) -> Vec<u32> {
        vec![self.groups]
    }

    pub(crate) fn candidates_words(self) -> Vec<u32> {
        vec![self.vocabulary, self.groups, self.length]
    }

    pub(crate) fn groups_grid(self) -> Grid {
        Grid::Fixed(self.groups.div_ceil(ELEMENT_THREADS))
    }

    pub(crate) fn candidates_grid(self) -> Grid {
        Grid::Fixed((self.groups.min(MAX_CANDIDATES as u32) * self.length).div_ceil(ELEMENT_THREADS))
    }
}

const THREADS: (&str, u32) = ("THREADS", ELEMENT_THREADS);

/// Bindings: logits, groups.
pub(crate) fn group_best() -> Program {
    let bindings = [(2, Access::Read), (3, Access::Write)];
    Program::new("group_best", &[include_str!("group_best.wgsl")], &[THREADS], bindings)
}

/// Bindings: groups, selected.
pub(crate) fn select_groups() -> Program {
    let bindings = [(2, Access::Read), (3, Access::Write)];
    Program::new("select_groups", &[include_str!("select_groups.wgsl")], &[THREADS], bindings)
}

/// Bindings: logits, selected, result.
pub(crate) fn select_candidates() -> Program {
    let bindings = [(2, Access::Read), (3, Access::Read), (4, Access::Write)];
    Program::new("select_candidates", &[include_str!("select_candidates.wgsl")], &[THREADS], bindings)
}

/// Bindings: groups, result.
pub(crate) fn choose() -> Program {
    let bindings = [(2, Access::Read), (3, Access::Write)];
    Program::new("choose", &[include_str!("choose.wgsl")], &[THREADS], bindings)
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::SampleRule;
    use nearside_engine::sampling;

    use super::{Deal, RESULT_WORDS, choose, group_best, select_candidates, select_groups};
    use crate::testing::{Gpu, Random, Run, each_gpu};

    fn sample(gpu: &Gpu, logits: &[f32], candidates: u32, rule: &SampleRule) -> Vec<u32> {
        let deal = Deal::new(logits.len() as u32);
        let set = |run: &mut Run<'_>| {
            run.step.candidates = candidates;
            run.step.set_rule(rule);
        };
        let mut run = Run::new(gpu, &group_best(), &deal.best_words(), 1);
        run.floats(logits);
        let output = run.output_words(&vec![0; 3 * deal.groups as usize]);
        let groups = run.go(deal.groups_grid()).words(output);
        let mut run = Run::new(gpu, &select_groups(), &deal.groups_words(), 1);
        set(&mut run);
        run.words(&groups);
        let output = run.output_words(&[0; 64]);
        let selected = run.go(deal.groups_grid()).words(output);
        let mut run = Run::new(gpu, &select_candidates(), &deal.candidates_words(), 1);
        set(&mut run);
        run.floats(logits).words(&selected);
        let output = run.output_words(&[0; RESULT_WORDS]);
        let result = run.go(deal.candidates_grid()).words(output);
        let mut run = Run::new(gpu, &choose(), &deal.best_words(), 1);
        set(&mut run);
        run.words(&groups);
        let output = run.output_words(&result);
        run.go(super::Grid::Fixed(1)).words(output)
    }

    fn check(gpu: &Gpu, logits: &[f32], candidates: u32, rule: &SampleRule) {
        let found = sample(gpu, logits, candidates, rule);
        let expected = sampling::top_candidates(logits, candidates as usize);
        assert_eq!(found[2] as usize, expected.len());
        for (index, expected) in expected.iter().enumerate() {
            let (token, logit) = (found[4 + 2 * index], f32::from_bits(found[5 + 2 * index]));
            assert_eq!(token, expected.token, "candidate {index} of {}", logits.len());
            assert!(logit.to_bits() == expected.logit.to_bits() || expected.logit < -1e38);
        }
        let sum = sampling::log_sum_exp(logits);
        assert!((f32::from_bits(found[1]) - sum).abs() < 1e-4 * sum.abs().max(1.0));
        assert_eq!(Some(found[0]), sampling::choose(&expected, rule), "{rule:?}");
    }

    #[test]
    fn candidates_sums_and_choices_equal_the_reference() {
        each_gpu(|gpu| {
            let mut random = Random::new(12);
            for vocabulary in [1, 5, 63, 1000, 49_152] {
                let mut logits: Vec<_> = (0..vocabulary).map(|_| random.float() * 12.0).collect();
                if vocabulary == 1000 {
                    // Ties, and what is not a number.
                    logits[100..130].fill(13.0);
                    logits[7] = f32::NAN;
                }
                let greedy = SampleRule { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, draw: 0.0 };
                check(gpu, &logits, 2, &greedy);
                check(gpu, &logits, 20, &greedy);
                for draw in [0.0, 0.31, 0.77, 0.999] {
                    let rule = SampleRule { temperature: 0.8, top_k: 40, top_p: 0.93, min_p: 0.02, draw };
                    check(gpu, &logits, 64, &rule);
                    check(gpu, &logits, 64, &SampleRule { top_k: 0, top_p: 1.0, min_p: 0.0, temperature: 3.0, draw });
                }
            }
        });
    }
}
