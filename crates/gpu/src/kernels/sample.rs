//! From logits to a token, on the device: the best candidates, the log-sum-exp and the choice.
//!
//! Sorting a vocabulary is too much work and reading it back too slow. The logits are dealt into
//! groups; each group's best is found, then the groups with the best bests, then the best of those
//! groups' logits. Ranks come from counting, so no step but the last needs a barrier.

use nearside_engine::backend::MAX_CANDIDATES;

use super::{Access, ELEMENT_THREADS, Grid, Program, reduce};
use crate::adapter::Tuning;

/// Words of the result before the candidates.
pub(crate) const RESULT_HEADER: usize = 4;

/// Words of the result: token, log-sum-exp, count, nothing; then token and logit of each candidate.
pub(crate) const RESULT_WORDS: usize = RESULT_HEADER + 2 * MAX_CANDIDATES;

/// The bits of the logit that stands for negative infinity: of what is not allowed or not a number.
pub(crate) const LEAST: u32 = 0xff7f_ffff;

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

    pub(crate) fn best_words(self, limit: u32, stride: u32) -> Vec<u32> {
        vec![limit, self.vocabulary, self.groups, stride]
    }

    pub(crate) fn groups_words(self, limit: u32) -> Vec<u32> {
        vec![limit, self.groups]
    }

    pub(crate) fn candidates_words(self, limit: u32, stride: u32) -> Vec<u32> {
        vec![limit, self.vocabulary, self.groups, self.reach(), self.length, stride]
    }

    pub(crate) fn choose_words(self, limit: u32) -> Vec<u32> {
        vec![limit, self.vocabulary, self.groups]
    }

    pub(crate) fn groups_grid(self) -> Grid {
        Grid::Elements { per_row: self.groups, threads: ELEMENT_THREADS }
    }

    pub(crate) fn candidates_grid(self) -> Grid {
        Grid::Elements { per_row: self.reach(), threads: ELEMENT_THREADS }
    }

    /// Words of the groups' bests for each row.
    pub(crate) fn group_words(self) -> u64 {
        u64::from(self.groups) * 3
    }

    fn reach(self) -> u32 {
        self.groups.min(MAX_CANDIDATES as u32) * self.length
    }
}

/// One workgroup chooses for each row.
pub(crate) const CHOOSE_GRID: Grid = Grid::Tiles { per_tile: 1, rows: 1 };

/// The logits, and `logit_at`, in WGSL.
const LOGITS: &str = include_str!("logits.wgsl");

const THREADS: (&str, u32) = ("THREADS", ELEMENT_THREADS);

/// Bindings: logits, groups.
pub(crate) fn group_best() -> Program {
    let bindings = [(2, Access::Read), (3, Access::Write)];
    Program::new("group_best", &[LOGITS, include_str!("group_best.wgsl")], &[THREADS], bindings)
}

/// Bindings: groups, selected.
pub(crate) fn select_groups() -> Program {
    let bindings = [(2, Access::Read), (3, Access::Write)];
    Program::new("select_groups", &[include_str!("select_groups.wgsl")], &[THREADS], bindings)
}

/// Bindings: logits, selected, result.
pub(crate) fn select_candidates() -> Program {
    let bindings = [(2, Access::Read), (3, Access::Read), (4, Access::Write)];
    Program::new("select_candidates", &[LOGITS, include_str!("select_candidates.wgsl")], &[THREADS], bindings)
}

/// Bindings: groups, rules, result.
pub(crate) fn choose(tuning: &Tuning) -> Program {
    let bindings = [(2, Access::Read), (3, Access::Read), (4, Access::Write)];
    let [numbers, turns, subgroups] = reduce::whole(1, 1, tuning);
    let parts = [reduce::WHOLE, include_str!("choose.wgsl")];
    Program::new("choose", &parts, &[THREADS, numbers, turns, subgroups], bindings)
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::SampleRule;
    use nearside_engine::sampling;

    use super::{CHOOSE_GRID, Deal, RESULT_WORDS, choose, group_best, select_candidates, select_groups};
    use crate::header::{LAST_ROWS, rule_words};
    use crate::testing::{Gpu, Random, Run, each_gpu, matrix};

    /// Each row's result.
    fn sample(gpu: &Gpu, logits: &[Vec<f32>], candidates: u32, rules: &[SampleRule]) -> Vec<Vec<u32>> {
        let (rows, vocabulary) = (logits.len(), logits[0].len());
        let deal = Deal::new(vocabulary as u32);
        let stride = vocabulary.next_multiple_of(32);
        let limit = LAST_ROWS | 8;
        let set = |run: &mut Run<'_>| {
            run.step.candidates = candidates;
            run.step.choices = rows as u32;
        };
        let flat = matrix(logits, stride);
        let mut run = Run::new(gpu, &group_best(), &deal.best_words(limit, stride as u32), rows);
        set(&mut run);
        run.floats(&flat);
        let output = run.output_words(&vec![0; rows * deal.group_words() as usize]);
        let groups = run.go(deal.groups_grid()).words(output);
        let mut run = Run::new(gpu, &select_groups(), &deal.groups_words(limit), rows);
        set(&mut run);
        run.words(&groups);
        let output = run.output_words(&vec![0; 64 * rows]);
        let selected = run.go(deal.groups_grid()).words(output);
        let mut run = Run::new(gpu, &select_candidates(), &deal.candidates_words(limit, stride as u32), rows);
        set(&mut run);
        run.floats(&flat).words(&selected);
        let output = run.output_words(&vec![0; RESULT_WORDS * rows]);
        let result = run.go(deal.candidates_grid()).words(output);
        let mut run = Run::new(gpu, &choose(&gpu.tuning), &deal.choose_words(limit), rows);
        set(&mut run);
        run.words(&groups).words(&rules.iter().flat_map(rule_words).collect::<Vec<_>>());
        let output = run.output_words(&result);
        let result = run.go(CHOOSE_GRID).words(output);
        result.chunks(RESULT_WORDS).map(<[u32]>::to_vec).collect()
    }

    fn check(gpu: &Gpu, logits: &[Vec<f32>], candidates: u32, rules: &[SampleRule]) {
        let results = sample(gpu, logits, candidates, rules);
        for ((logits, found), rule) in logits.iter().zip(results).zip(rules) {
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
    }

    const GREEDY: SampleRule = SampleRule { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, draw: 0.0 };

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
                let logits = [logits];
                check(gpu, &logits, 2, &[GREEDY]);
                check(gpu, &logits, 20, &[GREEDY]);
                for draw in [0.0, 0.31, 0.77, 0.999] {
                    let rule = SampleRule { temperature: 0.8, top_k: 40, top_p: 0.93, min_p: 0.02, draw };
                    check(gpu, &logits, 64, &[rule]);
                    check(gpu, &logits, 64, &[SampleRule { top_k: 0, top_p: 1.0, min_p: 0.0, temperature: 3.0, draw }]);
                }
            }
        });
    }

    #[test]
    fn each_row_has_a_choice_by_its_own_rule() {
        each_gpu(|gpu| {
            let mut random = Random::new(13);
            for vocabulary in [70, 5001] {
                let rows: Vec<Vec<f32>> =
                    (0..5).map(|_| (0..vocabulary).map(|_| random.float() * 9.0).collect()).collect();
                let rules: Vec<_> = (0..5)
                    .map(|row| match row {
                        1 => GREEDY,
                        _ => SampleRule {
                            temperature: 1.5,
                            top_k: 10 * row,
                            top_p: 0.9,
                            min_p: 0.0,
                            draw: 0.2 * row as f32,
                        },
                    })
                    .collect();
                check(gpu, &rows, 64, &rules);
            }
        });
    }
}
