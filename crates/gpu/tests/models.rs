//! Real models and random ones on the GPU: against llama.cpp's recorded answers, and what a step costs.

#[path = "../../../tests/parity/random/compare.rs"]
mod compare;
mod support;

use std::time::Instant;

use nearside_engine::evaluation::{CLEAR_MARGIN, parity};
use nearside_engine::{Event, GenerateOptions, Sampling};
use nearside_gguf::Gguf;
use support::{backend, engine, least_backend, model, vectors};

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

/// Greedy answers only, and few of them: the random models tell that the graph runs right, the
/// command `nearside eval parity` how near perplexity comes.
#[test]
fn gemma_3_answers_as_the_reference_on_lavapipe() {
    let (Some(backend), Some(file)) = (backend("llvmpipe", true), model("gemma-3-270m-Q4_K_M.gguf")) else {
        return;
    };
    let mut vectors = vectors("gemma-3-270m.dev.json");
    vectors.prompts.truncate(3);
    vectors.text_ids.truncate(1);
    let mut engine = engine(&file, &backend, 512);
    let report = pollster::block_on(parity(&mut engine, &vectors, &mut |_, _| {})).expect("the model runs");
    println!("{report:#?}");
    assert_eq!(report.ids_equal, report.prompts, "{report:?}");
    assert_eq!(report.greedy_until_margin, report.prompts, "{report:?}");
}

const SMOLLM2: (&str, &str) = ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m.dev.json");

#[test]
fn smollm2_agrees_on_lavapipe() {
    check("llvmpipe", true, SMOLLM2.0, SMOLLM2.1);
}

#[test]
fn greedy_steps_agree_and_are_one_submit_of_one_pass_each() {
    let kinds = [
        ("llvmpipe", backend("llvmpipe", true)),
        ("llvmpipe with the least limits", least_backend("llvmpipe")),
        ("SwiftShader", backend("SwiftShader", false)),
    ];
    for (adapter, backend) in kinds {
        let (Some(backend), Some(file)) = (backend, model(SMOLLM2.0)) else {
            continue;
        };
        let start = Instant::now();
        let mut engine = engine(&file, &backend, 256);
        println!("{adapter}: loaded in {:.2} s", start.elapsed().as_secs_f64());
        let stored: u64 = Gguf::read(&file).expect("a model").tensors.iter().map(|tensor| tensor.size).sum();
        let held = engine.counters().weight_bytes as f64 / stored as f64;
        assert!((0.98..=1.02).contains(&held), "the weights take {held:.3} times their stored size");
        let mut session = engine.create_session().expect("room for a session");
        let known = &vectors(SMOLLM2.1).prompts[0];
        let prompt = &known.ids;
        let options = GenerateOptions {
            sampling: Sampling::greedy(),
            max_tokens: 24,
            ignore_end: true,
            ..GenerateOptions::default()
        };
        let (tokens, prefill, decode) = pollster::block_on(async {
            let start = Instant::now();
            let mut generation = engine.generate(&mut session, prompt, options).expect("sound options");
            let (mut tokens, mut first) = (Vec::new(), None);
            while let Some(event) = generation.next().await.expect("the steps succeed") {
                if let Event::Token(token) = event {
                    tokens.push(token.id);
                    first.get_or_insert_with(Instant::now);
                }
            }
            let first = first.expect("a token");
            (tokens, first.duration_since(start), first.elapsed() / 23)
        });
        let counters = engine.counters();
        println!(
            "{adapter}: {} tokens until the first token {prefill:?}, then {decode:?} a token; {counters:?}",
            prompt.len()
        );
        let clear = known.greedy_margin.iter().position(|margin| *margin < CLEAR_MARGIN).unwrap_or(24).min(24);
        assert_eq!(tokens[..clear], known.greedy[..clear]);
        assert_eq!(counters.submits, counters.steps);
        assert_eq!(counters.passes, counters.steps);
        assert_eq!(counters.late_resources, 0);
        // Only for the last token nothing more was under way.
        assert_eq!(counters.blocking_syncs, 1);
        // The embedding's table is the head too; a step reads one of its rows more. A slow adapter reads the
        // prompt in several steps, and only the last of them needs the head.
        let read = counters.weight_bytes_read as f64 / (counters.steps * stored) as f64;
        assert!((0.9..=1.02).contains(&read), "a step reads {read:.3} times what is stored");
        // A layer of one token is a norm, the products for all heads, attention in slices and what puts them
        // together, the product after it, a norm, both gated products with their activation, and the last
        // one; then come embedding, norm, last row, head and choice. The prompt's step takes more apart.
        let layers = engine.info().layers as u64;
        assert!(counters.dispatches <= counters.steps * (8 * layers + 8) + 4 * layers, "{counters:?}");
    }
}

#[test]
fn random_models_of_every_architecture_agree_with_the_reference() {
    for (adapter, allow_subgroups) in [("llvmpipe", true), ("SwiftShader", false)] {
        if let Some(backend) = backend(adapter, allow_subgroups) {
            compare::compare(adapter, &backend);
        }
    }
}
