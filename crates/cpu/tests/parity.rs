//! Real models against llama.cpp's recorded answers.

mod support;

use std::ops::ControlFlow;

use nearside_cpu::CpuBackend;
use nearside_engine::evaluation::{ParityReport, parity};
use nearside_engine::{Engine, EngineOptions};

fn report(model: &str, vectors: &str) -> Option<ParityReport> {
    let file = support::model(model)?;
    let vectors = support::vectors(vectors);
    let options = EngineOptions { context: Some(512), ..EngineOptions::default() };
    let report = pollster::block_on(async {
        let mut progress = |_, _| ControlFlow::Continue(());
        let mut engine = Engine::load(&file, &CpuBackend::new(), options, &mut progress).await?;
        parity(&mut engine, &vectors, &mut |_, _| {}).await
    });
    let report = report.expect("the model loads and runs");
    println!("{report:#?}");
    Some(report)
}

fn assert_close(report: &ParityReport) {
    assert_eq!(report.ids_equal, report.prompts, "{report:?}");
    assert!(report.text_ids_equal, "{report:?}");
    assert_eq!(report.greedy_until_margin, report.prompts, "{report:?}");
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
