//! Forks, and how keys and values are kept.

use nearside_engine::backend::{BackendError, CacheFormat, CacheId, ExecutorOptions, Want};

use super::tiny::Tiny;
use super::{Loaded, OPTIONS, difference, letters};

#[test]
fn a_fork_goes_on_as_if_its_past_had_been_run_again() {
    let mut loaded = Loaded::new();
    let tokens = letters(150);
    for length in [0, 1, 63, 64, 65, 100, 150] {
        let parent = loaded.executor.create_cache().expect("room for a cache");
        loaded.fill(parent, &tokens, 48);
        let fork = loaded.executor.fork_cache(parent, length).expect("positions that are filled");
        // Both go on differently, the parent from before the fork's end.
        let other: Vec<_> = tokens.iter().rev().copied().collect();
        loaded.run(fork, length, &other[..20], Want::Nothing);
        let overwritten = length.saturating_sub(10);
        loaded.run(parent, overwritten, &other[100..140], Want::Nothing);
        let again = loaded.run(fork, length + 20, &[5], Want::Logits).logits;
        let expected = loaded.logits_after(&[&tokens[..length], &other[..20], &[5]].concat());
        assert!(difference(&again, &expected) < 1e-3, "the fork at {length}");
        let again = loaded.run(parent, overwritten + 40, &[5], Want::Logits).logits;
        let expected = loaded.logits_after(&[&tokens[..overwritten], &other[100..140], &[5]].concat());
        assert!(difference(&again, &expected) < 1e-3, "the parent of the fork at {length}");
        // A fork outlives its parent.
        loaded.executor.drop_cache(parent);
        loaded.run(fork, length + 20, &[5], Want::Logits);
        loaded.executor.drop_cache(fork);
    }
}

#[test]
fn a_fork_of_what_is_not_there_is_refused() {
    let mut loaded = Loaded::new();
    loaded.fill(loaded.cache, &letters(10), 10);
    for (cache, length) in [(loaded.cache, 11), (CacheId(99), 0), (loaded.cache, usize::MAX)] {
        let error = loaded.executor.fork_cache(cache, length).expect_err("it is not there");
        assert!(matches!(error, BackendError::InvalidStep { .. }), "{error}");
    }
}

#[test]
fn bytes_for_keys_and_values_stay_near_half_floats() {
    let tokens = letters(200);
    let file = Tiny::default().file();
    let mut logits = [CacheFormat::F16, CacheFormat::Q8_0].map(|cache| {
        let mut loaded = Loaded::from_file(&file, ExecutorOptions { cache, ..OPTIONS });
        assert_eq!(loaded.executor.options().cache, cache);
        loaded.logits_after(&tokens)
    });
    let spread = logits[0].iter().copied().fold(0.0f32, |most, logit| most.max(logit.abs()));
    let difference = difference(&logits[0], &logits[1]);
    assert!(difference > 0.0, "bytes are coarser than half floats");
    assert!(difference < 0.02 * spread, "{difference} of {spread}");
    logits[0].clear();
}
