//! What a step costs, which a user feels as heat and waiting.

mod support;

use std::time::Instant;

use nearside_engine::{Event, GenerateOptions, Sampling};
use support::{backend, engine, model};

#[test]
fn a_decode_step_is_one_submit_of_one_pass_and_creates_nothing() {
    for adapter in ["llvmpipe", "SwiftShader"] {
        let (Some(backend), Some(file)) = (backend(adapter, true), model("SmolLM2-135M-Instruct.Q4_1.gguf")) else {
            continue;
        };
        let start = Instant::now();
        let mut engine = engine(&file, &backend, 256);
        println!("{adapter}: loaded in {:.2} s", start.elapsed().as_secs_f64());
        let stored = 90_000_000;
        assert!(engine.counters().weight_bytes > stored / 2 && engine.counters().weight_bytes < stored * 2);
        let mut session = engine.create_session().expect("room for a session");
        let prompt: Vec<u32> = (100..148).collect();
        let options = GenerateOptions {
            sampling: Sampling::greedy(),
            max_tokens: 24,
            ignore_end: true,
            ..GenerateOptions::default()
        };
        let (tokens, prefill, decode) = pollster::block_on(async {
            let start = Instant::now();
            let mut generation = engine.generate(&mut session, &prompt, options).expect("sound options");
            let (mut tokens, mut first) = (0, None);
            while let Some(event) = generation.next().await.expect("the steps succeed") {
                if let Event::Token(_) = event {
                    tokens += 1;
                    first.get_or_insert_with(|| start.elapsed());
                }
            }
            let first = first.expect("a token");
            (tokens, first, (start.elapsed() - first) / (tokens - 1))
        });
        let counters = engine.counters();
        println!("{adapter}: {} tokens until the first token {prefill:?}, then {decode:?} a token; {counters:?}", prompt.len());
        assert_eq!(tokens, 24);
        assert_eq!(counters.submits, counters.steps);
        assert_eq!(counters.passes, counters.steps);
        assert_eq!(counters.late_resources, 0);
    }
}
