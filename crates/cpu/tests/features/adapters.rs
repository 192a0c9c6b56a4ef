//! Low-rank changes, against files whose weights were changed by hand.

use nearside_engine::backend::{AdapterId, BackendError, LowRank, Want};
use nearside_engine::graph::Weight;
use nearside_gguf::Gguf;

use super::tiny::{ModelBytes, Tiny, numbers};
use super::{Loaded, OPTIONS, difference, letters};

const CHANGED: [(&str, usize); 3] =
    [("blk.0.attn_q.weight", 3), ("blk.1.ffn_down.weight", 1), ("blk.1.attn_output.weight", 8)];

fn part(loaded: &Loaded, name: &str, rank: usize) -> LowRank {
    let weight = loaded.graph.weights.iter().position(|spec| spec.name == name).expect("a weight of the model");
    let spec = &loaded.graph.weights[weight];
    let down = numbers(&format!("{name} down"), (rank * spec.columns) as u64);
    let up = numbers(&format!("{name} up"), (rank * spec.rows) as u64);
    LowRank { weight: Weight(weight), rank, down, up }
}

fn parts(loaded: &Loaded) -> Vec<LowRank> {
    CHANGED.iter().map(|(name, rank)| part(loaded, name, *rank)).collect()
}

fn add(loaded: &mut Loaded, parts: Vec<LowRank>) -> Result<AdapterId, BackendError> {
    loaded.executor.add_adapter(&mut parts.into_iter().map(Ok))
}

/// The file with each of the parts added to its weight, so many times.
fn changed_by_hand(parts: &[LowRank], loaded: &Loaded, factor: f32) -> ModelBytes {
    let mut bytes = Tiny::default().file();
    let gguf = Gguf::read(&bytes).expect("a sound file");
    for LowRank { weight, rank, down, up } in parts {
        let spec = &loaded.graph.weights[weight.0];
        let tensor = gguf.tensor(&spec.name).expect("it was written");
        let stored = &mut bytes.0[tensor.offset as usize..][..tensor.size as usize];
        for (index, stored) in stored.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let (row, column) = (index / spec.columns, index % spec.columns);
            let change: f32 =
                (0..*rank).map(|inner| up[row * rank + inner] * down[inner * spec.columns + column]).sum();
            *stored = (f32::from_le_bytes(*stored) + factor * change).to_le_bytes();
        }
    }
    bytes
}

#[test]
fn an_adapter_is_a_change_of_the_weights() {
    let mut loaded = Loaded::new();
    let tokens = letters(60);
    let before = loaded.logits_after(&tokens);
    let parts = parts(&loaded);
    let adapter = add(&mut loaded, parts.clone()).expect("parts that fit");
    assert!(difference(&loaded.logits_after(&tokens), &before) < 1e-6, "it is not used yet");
    for factor in [1.0, -0.5] {
        let by_hand = changed_by_hand(&parts, &loaded, factor);
        let expected = Loaded::from_file(&by_hand, OPTIONS).logits_after(&tokens);
        assert!(difference(&expected, &before) > 0.1, "the change is too small to be seen");
        loaded.executor.use_adapters(&[(adapter, factor)]).expect("an adapter that is held");
        let logits = loaded.logits_after(&tokens);
        assert!(difference(&logits, &expected) < 2e-3, "factor {factor}: {}", difference(&logits, &expected));
    }
    // Two halves are a whole.
    let again = add(&mut loaded, parts.clone()).expect("parts that fit");
    loaded.executor.use_adapters(&[(adapter, 0.25), (again, 0.75)]).expect("adapters that are held");
    let expected = Loaded::from_file(&changed_by_hand(&parts, &loaded, 1.0), OPTIONS).logits_after(&tokens);
    assert!(difference(&loaded.logits_after(&tokens), &expected) < 2e-3);
    loaded.executor.drop_adapter(again);
    loaded.executor.use_adapters(&[(again, 1.0)]).expect_err("it is gone");
    loaded.executor.use_adapters(&[(adapter, 1.0)]).expect("an adapter that is held");
    loaded.executor.drop_adapter(adapter);
    loaded.executor.drop_adapter(adapter);
    assert!(difference(&loaded.logits_after(&tokens), &before) < 1e-6, "an adapter that is gone changes nothing");
}

#[test]
fn parts_that_do_not_fit_are_refused_and_named() {
    let mut loaded = Loaded::new();
    let tokens = letters(10);
    let before = loaded.run(loaded.cache, 0, &tokens, Want::Logits).logits;
    let sound = part(&loaded, "blk.0.attn_q.weight", 2);
    let norm = part(&loaded, "blk.0.attn_norm.weight", 2);
    let cases = [
        (vec![LowRank { weight: Weight(999), ..sound.clone() }], "999"),
        (vec![norm], "blk.0.attn_norm.weight"),
        (vec![LowRank { rank: 0, ..sound.clone() }], "rank 0"),
        (vec![LowRank { rank: 3, ..sound.clone() }], "rank 3"),
        (vec![LowRank { up: vec![0.0; 5], ..sound.clone() }], "5 elements"),
        (vec![sound.clone(), sound.clone()], "twice"),
    ];
    for (parts, named) in cases {
        let error = add(&mut loaded, parts).expect_err("it does not fit").to_string();
        assert!(error.contains(named), "{error}");
    }
    let failing = Err(BackendError::Cancelled);
    let error = loaded.executor.add_adapter(&mut [Ok(sound), failing].into_iter()).expect_err("a part failed");
    assert_eq!(error, BackendError::Cancelled);
    assert_eq!(loaded.run(loaded.cache, 0, &tokens, Want::Logits).logits, before);
}
