//! Real models on the GPU against llama.cpp's recorded answers.

mod support;

use std::time::Instant;

use nearside_engine::evaluation::parity;
use support::{backend, engine, model, vectors};

fn check(adapter: &str, allow_subgroups: bool, file: &str, name: &str) {
    let (Some(backend), Some(file)) = (backend(adapter, allow_subgroups), model(file)) else {
        return;
    };
    let vectors = vectors(name);
    let mut engine = engine(&file, &backend, 512);
    let start = Instant::now();
    let report = pollster::block_on(parity(&mut engine, &vectors, &mut |_, _| {})).expect("the model runs");
    let steps = engine.counters().steps;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3 / steps as f64;
    println!("{adapter}, subgroups: {allow_subgroups}: {steps} steps, {milliseconds:.1} ms each; {report:#?}");
    assert_eq!(report.ids_equal, report.prompts, "{report:?}");
    assert!(report.text_ids_equal, "{report:?}");
    assert_eq!(report.greedy_until_margin, report.prompts, "{report:?}");
    assert!((report.ppl / report.ppl_ref - 1.0).abs() < 0.01, "{report:?}");
}

const SMOLLM2: (&str, &str) = ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m.dev.json");

#[test]
fn smollm2_agrees_on_lavapipe() {
    check("llvmpipe", true, SMOLLM2.0, SMOLLM2.1);
}

#[test]
fn smollm2_agrees_on_swiftshader_without_subgroups() {
    check("SwiftShader", false, SMOLLM2.0, SMOLLM2.1);
}

#[test]
#[ignore = "some minutes; run with --ignored"]
fn qwen2_5_coder_agrees_on_lavapipe_with_its_embedding_in_pieces() {
    check("llvmpipe", true, "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b.dev.json");
}

#[test]
#[ignore = "some minutes; run with --ignored"]
fn gemma_3_agrees_on_lavapipe() {
    check("llvmpipe", false, "gemma-3-270m-Q4_K_M.gguf", "gemma-3-270m.dev.json");
}
