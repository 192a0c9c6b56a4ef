//! Embeddings of real models against llama.cpp's.

mod support;

use std::ops::ControlFlow;

use nearside_cpu::CpuBackend;
use nearside_engine::{Engine, EngineOptions, Pooling};
use serde::Deserialize;

/// What `tests/parity/embeddings.py` records.
#[derive(Deserialize)]
struct Recorded {
    texts: Vec<RecordedText>,
}

#[derive(Deserialize)]
struct RecordedText {
    text: String,
    ids: Vec<u32>,
    mean: Vec<f32>,
    last: Vec<f32>,
}

fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let product = |one: &[f32], other: &[f32]| -> f64 {
        one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
    };
    assert_eq!(one.len(), other.len());
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}

fn compare(model: &str, vectors: &str, texts: usize) {
    let Some(file) = support::model(model) else { return };
    let recorded: Recorded = support::vectors(vectors);
    let options = EngineOptions { context: Some(128), ..EngineOptions::default() };
    pollster::block_on(async {
        let mut progress = |_, _| ControlFlow::Continue(());
        let mut engine =
            Engine::load(&file, &CpuBackend::new(), options, &mut progress).await.expect("the model loads");
        for RecordedText { text, ids, mean, last } in recorded.texts.iter().take(texts) {
            for (pooling, expected) in [(Pooling::Mean, mean), (Pooling::Last, last)] {
                let ours = engine.embed(ids, pooling).await.expect("the steps succeed");
                let cosine = cosine(&ours, expected);
                println!("{model}, {pooling:?}: {cosine:.5} for {text:?}");
                assert!(cosine >= 0.999, "{cosine} for {pooling:?} of {text:?}");
            }
        }
    });
}

#[test]
fn smollm2_embeds_as_the_reference_does() {
    compare("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m.embeddings.json", 4);
}

#[test]
fn qwen_embeds_as_the_reference_does() {
    // The longest text would take longer than what it could still show.
    compare("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b.embeddings.json", 3);
}
