//! Speculation on a real model: it copies a passage out of its prompt, and drafts for itself.

#[allow(dead_code, reason = "nothing recorded is compared here")]
mod support;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use nearside_cpu::CpuBackend;
use nearside_engine::{Engine, EngineOptions, Event, Finish, GenerateOptions, Sampling, Speculation};
use nearside_text::SpecialTokens;

const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

const PASSAGE: &str = "The river rises in the hills to the north, turns east below the old mill, and reaches the sea \
after two hundred miles. Along its banks people have kept orchards, built boats, and argued about the price of salt. \
In 1847 a flood took the bridge at Harrow, and for nine years a ferryman named Tobias Quill carried mail across.";

async fn run(engine: &mut Engine, prompt: &[u32], options: GenerateOptions) -> (Vec<u32>, Finish, Duration, u64) {
    let mut session = engine.create_session().expect("room for a session");
    let mut generation = engine.generate(&mut session, prompt, options).expect("sound options");
    let (mut tokens, mut finish, mut first) = (Vec::new(), None, None);
    while let Some(event) = generation.next().await.expect("the steps succeed") {
        match event {
            Event::Token(token) => {
                first.get_or_insert_with(Instant::now);
                tokens.push(token.id);
            }
            Event::Finished(end) => finish = Some(end),
            Event::Prefill { .. } | Event::Slid { .. } => {}
        }
    }
    let time = first.map(|first| first.elapsed()).unwrap_or_default();
    let steps = engine.counters().steps;
    engine.close_session(session);
    (tokens, finish.expect("an answer ends with `Finished`"), time, steps)
}

async fn load(file: &support::ModelFile) -> Engine {
    let options = EngineOptions { context: Some(512), ..EngineOptions::default() };
    let mut progress = |_, _| ControlFlow::Continue(());
    Engine::load(file, &CpuBackend::new(), options, &mut progress).await.expect("the model loads")
}

#[test]
fn a_model_that_drafts_for_itself_is_right_and_changes_nothing() {
    let Some(file) = support::model(MODEL) else { return };
    pollster::block_on(async {
        let mut engine = load(&file).await;
        engine.attach_draft(load(&file).await).expect("the same vocabulary");
        let special = SpecialTokens { add: true, parse: false };
        let prompt = engine.tokenizer().encode("The three laws of motion say that", special).expect("plain text");
        let sampling = Sampling::greedy();
        let plain = GenerateOptions { sampling, max_tokens: 48, ignore_end: true, ..GenerateOptions::default() };
        let quick = GenerateOptions { speculation: Speculation::Draft, ..plain.clone() };
        let (expected, _, plain_time, _) = run(&mut engine, &prompt, plain).await;
        let (tokens, finish, quick_time, _) = run(&mut engine, &prompt, quick).await;
        let (accepted, drafted) = (finish.accepted_tokens, finish.drafted_tokens);
        println!("{accepted} of {drafted} drafted tokens were right, {quick_time:?} instead of {plain_time:?}");
        assert_eq!(tokens, expected);
        // Where two logits are nearly the same, a step of many rows may round them the other way round.
        assert!(drafted > 24 && accepted * 10 >= drafted * 9, "{accepted} of {drafted}");
    });
}

#[test]
fn copying_a_passage_is_foreseen_and_the_answer_is_the_same() {
    let Some(file) = support::model(MODEL) else { return };
    pollster::block_on(async {
        let mut engine = load(&file).await;
        let text = format!("Original: {PASSAGE}\n\nCopy: {PASSAGE}\n\nCopy:");
        let special = SpecialTokens { add: true, parse: false };
        let prompt = engine.tokenizer().encode(&text, special).expect("plain text");
        for (name, sampling) in [
            ("greedy", Sampling::greedy()),
            ("sampled", Sampling { temperature: 0.7, seed: 11, ..Sampling::default() }),
        ] {
            let plain = GenerateOptions { sampling, max_tokens: 64, ignore_end: true, ..GenerateOptions::default() };
            let quick = GenerateOptions { speculation: Speculation::Lookup, ..plain.clone() };
            let before = engine.counters().steps;
            let (expected, _, plain_time, between) = run(&mut engine, &prompt, plain).await;
            let (tokens, finish, quick_time, after) = run(&mut engine, &prompt, quick).await;
            println!(
                "{name}: {} of {} foreseen tokens were right, {} steps instead of {}, {quick_time:?} instead of {plain_time:?}",
                finish.accepted_tokens,
                finish.drafted_tokens,
                after - between,
                between - before,
            );
            assert_eq!(tokens, expected, "{name}");
            assert!((after - between) * 2 < between - before, "{name} takes fewer than half the steps");
        }
    });
}

#[test]
fn a_free_text_is_the_same_and_little_is_foreseen_in_vain() {
    let Some(file) = support::model(MODEL) else { return };
    pollster::block_on(async {
        let mut engine = load(&file).await;
        let special = SpecialTokens { add: true, parse: false };
        for text in ["Once upon a time a miller", "1, 2, 3, 5, 8,"] {
            let prompt = engine.tokenizer().encode(text, special).expect("plain text");
            let sampling = Sampling { temperature: 0.9, seed: 5, ..Sampling::default() };
            let plain = GenerateOptions { sampling, max_tokens: 120, ignore_end: true, ..GenerateOptions::default() };
            let quick = GenerateOptions { speculation: Speculation::Lookup, ..plain.clone() };
            let (expected, _, plain_time, _) = run(&mut engine, &prompt, plain).await;
            let (tokens, finish, quick_time, _) = run(&mut engine, &prompt, quick).await;
            let wasted = finish.drafted_tokens - finish.accepted_tokens;
            println!("{text}: {wasted} foreseen in vain, {quick_time:?} instead of {plain_time:?}");
            assert_eq!(tokens, expected, "{text}");
            assert!(wasted <= 12 + finish.accepted_tokens, "{text}: {wasted}, {finish:?}");
        }
    });
}
