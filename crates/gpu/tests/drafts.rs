//! Drafting on a GPU, and keys and values in a format that the device does not have.

#[path = "../../cpu/tests/support/tiny.rs"]
#[allow(dead_code, reason = "only the model itself is needed here")]
mod tiny;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use nearside_engine::backend::CacheFormat;
use nearside_engine::{Engine, EngineOptions, Event, Finish, GenerateOptions, Sampling, Speculation};
use nearside_gpu::{GpuBackend, GpuOptions};
use tiny::{ModelBytes, Tiny};

fn load(file: &ModelBytes, options: EngineOptions) -> Option<Engine> {
    let backend = match pollster::block_on(GpuBackend::probe(GpuOptions::default())) {
        Ok(backend) => backend,
        Err(error) => {
            eprintln!("skipped: {error}");
            return None;
        }
    };
    let mut progress = |_, _| ControlFlow::Continue(());
    Some(pollster::block_on(Engine::load(file, &backend, options, &mut progress)).expect("the model loads"))
}

fn answer(engine: &mut Engine, speculation: Speculation) -> (Vec<u32>, Finish, Duration) {
    let options = GenerateOptions {
        sampling: Sampling::greedy(),
        max_tokens: 40,
        ignore_end: true,
        speculation,
        ..GenerateOptions::default()
    };
    let mut session = engine.create_session().expect("room for a session");
    let started = Instant::now();
    let mut generation = engine.generate(&mut session, &[3, 1, 4, 1, 5, 9, 2, 6], options).expect("sound options");
    let (mut tokens, mut finish) = (Vec::new(), None);
    while let Some(event) = pollster::block_on(generation.next()).expect("the steps succeed") {
        match event {
            Event::Token(token) => tokens.push(token.id),
            Event::Finished(end) => finish = Some(end),
            Event::Prefill { .. } | Event::Slid { .. } => {}
        }
    }
    (tokens, finish.expect("an answer ends with `Finished`"), started.elapsed())
}

#[test]
fn a_draft_changes_nothing_whether_it_is_the_model_itself_or_a_stranger() {
    let file = Tiny::default().file();
    let stranger = Tiny { architecture: "qwen2", heads: 2, biases: true, ..Tiny::default() }.file();
    let Some(mut engine) = load(&file, EngineOptions::default()) else { return };
    let (expected, _, plain_time) = answer(&mut engine, Speculation::None);
    for (name, draft) in [("itself", &file), ("a stranger", &stranger)] {
        let draft = load(draft, EngineOptions::default()).expect("the adapter was there before");
        engine.attach_draft(draft).expect("the same vocabulary");
        let (tokens, finish, time) = answer(&mut engine, Speculation::Draft);
        let (accepted, drafted) = (finish.accepted_tokens, finish.drafted_tokens);
        println!("{name}: {accepted} of {drafted} drafted tokens were right, {time:?} instead of {plain_time:?}");
        assert_eq!(tokens, expected, "{name}");
        assert!(drafted > 0 && (name != "itself" || accepted * 10 >= drafted * 9), "{name}: {accepted} of {drafted}");
    }
}

#[test]
fn heads_that_are_no_whole_blocks_are_kept_in_half_floats_and_that_is_said() {
    let options = EngineOptions { cache: CacheFormat::Q8_0, ..EngineOptions::default() };
    // Heads of 8 and of 32 numbers.
    for (heads, kept) in [(4, CacheFormat::F16), (1, CacheFormat::Q8_0)] {
        let file = Tiny { heads, kv_heads: 1, ..Tiny::default() }.file();
        let Some(mut engine) = load(&file, options) else { return };
        assert_eq!(engine.info().cache, kept);
        assert_eq!(answer(&mut engine, Speculation::None).0.len(), 40);
    }
}
