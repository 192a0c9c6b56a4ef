//! Penalties, biases and the mask of what is allowed, applied to held logits.

use super::{Access, ELEMENT_THREADS, Grid, Program};

/// Words of one change.
pub(crate) const CHANGE_WORDS: usize = 3;

/// The most changes of one dispatch; more of them take several submits.
pub(crate) fn most_changes(vocabulary: usize) -> usize {
    vocabulary.min(4096)
}

/// Words of a mask over a vocabulary.
pub(crate) fn mask_words(vocabulary: usize) -> usize {
    vocabulary.div_ceil(32)
}

/// Words of the buffer for the mask and the changes.
pub(crate) fn buffer_words(vocabulary: usize) -> usize {
    mask_words(vocabulary) + CHANGE_WORDS * most_changes(vocabulary)
}

pub(crate) struct Params {
    pub(crate) vocabulary: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.vocabulary, mask_words(self.vocabulary as usize) as u32]
    }

    /// One invocation for each change or each word of the mask, whichever are more.
    pub(crate) fn grid(&self) -> Grid {
        let most = mask_words(self.vocabulary as usize).max(most_changes(self.vocabulary as usize));
        Grid::Fixed((most as u32).div_ceil(ELEMENT_THREADS))
    }
}

/// Bindings: changes, logits.
pub(crate) fn program() -> Program {
    Program::new(
        "change_logits",
        &[include_str!("change_logits.wgsl")],
        &[("THREADS", ELEMENT_THREADS)],
        [(2, Access::Read), (3, Access::Write)],
    )
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::LogitChange;
    use nearside_engine::sampling::adjust;

    use super::{Params, buffer_words, mask_words, program};
    use crate::testing::{Gpu, Random, Run, close, each_gpu};

    fn check(gpu: &Gpu, vocabulary: usize, changes: usize, masked: bool) {
        let mut random = Random::new(31);
        let logits: Vec<f32> = (0..vocabulary).map(|_| random.float() * 9.0).collect();
        let changes: Vec<_> = (0..changes)
            .map(|index| LogitChange {
                token: (index * vocabulary / changes) as u32,
                divisor: 1.0 + random.float().abs(),
                bias: random.float(),
            })
            .collect();
        let mask: Vec<u32> = (0..mask_words(vocabulary)).map(|_| random.next() as u32).collect();
        let params = Params { vocabulary: vocabulary as u32 };
        let mut run = Run::new(gpu, &program(), &params.words(), 1);
        run.step.changes = changes.len() as u32;
        run.step.masked = u32::from(masked);
        let mut words = mask.clone();
        words.extend(changes.iter().flat_map(|change| [change.token, change.divisor.to_bits(), change.bias.to_bits()]));
        words.resize(buffer_words(vocabulary), 0);
        run.words(&words);
        let output = run.output(&logits);
        let found = run.go(params.grid()).floats(output);
        let mut expected = logits;
        adjust(&mut expected, &changes, masked.then_some(mask.as_slice()));
        // What is not allowed has the least of the finite logits.
        for logit in &mut expected {
            *logit = logit.max(f32::MIN);
        }
        close(&found, &expected, 1e-5, &format!("{vocabulary} {} {masked}", changes.len()));
    }

    #[test]
    fn changes_and_masks_meet_without_disturbing_each_other() {
        each_gpu(|gpu| {
            for (vocabulary, changes, masked) in
                [(1, 1, true), (75, 75, true), (75, 3, false), (5003, 0, true), (5003, 4096, true)]
            {
                check(gpu, vocabulary, changes, masked);
            }
        });
    }
}
