//! Texts as vectors.

mod support;

use nearside_engine::{EngineError, EngineOptions, Pooling, normalize};
use support::scripted::{Nature, Scripted};
use support::{fresh, load, sampled};

fn embed(batch: usize, tokens: &[u32], pooling: Pooling) -> Vec<f32> {
    let backend = Scripted::new(Nature::Wild);
    let options = EngineOptions { batch: Some(batch), ..EngineOptions::default() };
    let mut engine = load(&backend, options).expect("a sound model");
    let vector = pollster::block_on(engine.embed(tokens, pooling)).expect("the steps succeed");
    assert_eq!(backend.seen.caches.get(), 0, "its room is given back");
    vector
}

#[test]
fn pooling_is_the_same_in_batches_of_any_size() {
    let tokens: Vec<u32> = (0..11).collect();
    // With one token a step, each step's last row is what `Last` gives for the tokens so far.
    let rows: Vec<Vec<f32>> = (1..=tokens.len()).map(|end| embed(1, &tokens[..end], Pooling::Last)).collect();
    let width = rows[0].len();
    let mean: Vec<f32> =
        (0..width).map(|column| rows.iter().map(|row| row[column]).sum::<f32>() / rows.len() as f32).collect();
    for batch in [1, 2, 5, 11, 64] {
        assert_eq!(embed(batch, &tokens, Pooling::Last), rows[10]);
        for (value, expected) in embed(batch, &tokens, Pooling::Mean).iter().zip(&mean) {
            assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
        }
    }
}

#[test]
fn a_normalized_vector_has_length_one_and_the_same_direction() {
    let mut vector = vec![3.0, 0.0, -4.0];
    normalize(&mut vector);
    assert_eq!(vector, [0.6, 0.0, -0.8]);
    let mut nothing = vec![0.0; 3];
    normalize(&mut nothing);
    assert_eq!(nothing, [0.0; 3]);
}

#[test]
fn texts_that_cannot_be_embedded_are_refused_and_conversations_do_not_notice() {
    let backend = Scripted::new(Nature::Wild);
    let mut engine = load(&backend, EngineOptions::default()).expect("a sound model");
    let expected = fresh(&mut engine, &[1, 2, 3], sampled(1, 5)).ids();
    let mut refused =
        |tokens: &[u32]| pollster::block_on(engine.embed(tokens, Pooling::Mean)).expect_err("no vector comes of it");
    assert!(matches!(refused(&[]), EngineError::EmptyPrompt));
    assert!(matches!(refused(&[1; 65]), EngineError::PromptTooLong { tokens: 65, context: 64 }));
    assert!(matches!(refused(&[99]), EngineError::TokenOutOfRange { token: 99, .. }));
    assert_eq!(fresh(&mut engine, &[1, 2, 3], sampled(1, 5)).ids(), expected);
}
