//! Real models and random ones against llama.cpp's recorded answers.

#[path = "../../../tests/parity/random/compare.rs"]
mod compare;
mod support;

use std::ops::ControlFlow;

use nearside_cpu::CpuBackend;
use nearside_engine::backend::CacheFormat;
use nearside_engine::evaluation::{ParityReport, ParityVectors, parity};
use nearside_engine::{Engine, EngineOptions};

fn report(model: &str, vectors: &str) -> Option<ParityReport> {
    report_on(model, &support::vectors(vectors), CacheFormat::F16)
}

fn report_on(model: &str, vectors: &ParityVectors, cache: CacheFormat) -> Option<ParityReport> {
    let file = support::model(model)?;
    let options = EngineOptions { context: Some(512), cache, ..EngineOptions::default() };
    let report = pollster::block_on(async {
        let mut progress = |_, _| ControlFlow::Continue(());
        let mut engine = Engine::load(&file, &CpuBackend::new(), options, &mut progress).await?;
        parity(&mut engine, vectors, &mut |_, _| {}).await
    });
    let report = report.expect("the model loads and runs");
    println!("{report:#?}");
    Some(report)
}

fn assert_close(report: &ParityReport) {
    assert_eq!(report.ids_equal, report.prompts, "{report:?}");
    assert!(report.text_ids_equal, "{report:?}");
    assert_eq!(report.greedy_until_margin, report.prompts, "{report:?}");
    // Inputs are rounded as the reference rounds them, so what is left is the order of sums and the attention.
    assert!((report.ppl / report.ppl_ref - 1.0).abs() < 0.01, "{report:?}");
}

#[test]
fn smollm2_agrees_with_the_reference() {
    if let Some(report) = report("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m.dev.json") {
        assert_close(&report);
    }
}

#[test]
fn gemma_3_agrees_with_the_reference() {
    if let Some(report) = report("gemma-3-270m-Q4_K_M.gguf", "gemma-3-270m.dev.json") {
        assert_close(&report);
    }
}

#[test]
fn tinyllama_in_two_bits_agrees_with_the_reference() {
    // The largest of these models, so it answers fewer prompts.
    let mut vectors: ParityVectors = support::vectors("tinyllama-1.1b-iq2.dev.json");
    vectors.prompts.truncate(2);
    if let Some(report) = report_on("tinyllama-1.1b-chat-IQ2_XXS.gguf", &vectors, CacheFormat::F16) {
        assert_close(&report);
    }
}

#[test]
fn keys_and_values_in_bytes_are_nearly_as_good() {
    let mut vectors: ParityVectors = support::vectors("smollm2-135m.dev.json");
    vectors.prompts.truncate(6);
    let in_format = |format| report_on("SmolLM2-135M-Instruct.Q4_1.gguf", &vectors, format);
    let (Some(half), Some(bytes)) = (in_format(CacheFormat::F16), in_format(CacheFormat::Q8_0)) else { return };
    println!("perplexity {} with half floats, {} with bytes", half.ppl, bytes.ppl);
    // Bytes are coarser, so they cannot come to the very same.
    assert!((1e-9..0.01).contains(&(bytes.ppl / half.ppl - 1.0).abs()), "{} against {}", bytes.ppl, half.ppl);
    assert_close(&bytes);
}

#[test]
fn random_models_of_every_architecture_agree_with_the_reference() {
    compare::compare("cpu", &CpuBackend::new());
}
