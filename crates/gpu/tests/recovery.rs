//! A conversation goes on after the real loss of a device.

#[path = "../../cpu/tests/support/tiny.rs"]
#[allow(dead_code, reason = "only the model itself is needed here")]
mod tiny;

use std::ops::ControlFlow;

use nearside_engine::{Engine, EngineOptions, Event, GenerateOptions, Sampling};
use nearside_gpu::{GpuBackend, GpuOptions};
use tiny::Tiny;

fn options() -> GenerateOptions {
    let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 4, ..Sampling::default() };
    GenerateOptions { sampling, max_tokens: 10, ignore_end: true, ..GenerateOptions::default() }
}

fn probe() -> Option<GpuBackend> {
    match pollster::block_on(GpuBackend::probe(GpuOptions::default())) {
        Ok(backend) => Some(backend),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// The answer's tokens, and how often the device was lost, which is taken away after so many events.
fn answer(lost_after: Option<usize>) -> Option<(Vec<u32>, usize)> {
    let file = Tiny::default().file();
    let mut backend = probe()?;
    let engine_options = EngineOptions { batch: Some(4), ..EngineOptions::default() };
    let mut progress = |_, _| ControlFlow::Continue(());
    let loaded = pollster::block_on(Engine::load(&file, &backend, engine_options, &mut progress));
    let mut engine = loaded.expect("the model loads");
    let mut session = engine.create_session().expect("room for a session");
    let prompt: Vec<u32> = (1..10).collect();
    let mut generation = engine.generate(&mut session, &prompt, options()).expect("sound options");
    let (mut tokens, mut events, mut losses) = (Vec::new(), 0, 0);
    loop {
        if lost_after == Some(events) && losses == 0 {
            backend.lose_device();
        }
        match pollster::block_on(generation.next()) {
            Ok(Some(event)) => {
                events += 1;
                if let Event::Token(token) = event {
                    tokens.push(token.id);
                }
            }
            Ok(None) => return Some((tokens, losses)),
            Err(error) => {
                assert!(error.is_device_lost(), "{error}");
                losses += 1;
                backend = probe().expect("a new device");
                let mut progress = |_, _| ControlFlow::Continue(());
                pollster::block_on(generation.recover(&file, &backend, &mut progress)).expect("the model loads again");
            }
        }
    }
}

#[test]
fn an_answer_goes_on_after_its_device_was_lost_in_prefill_and_decode() {
    let Some((expected, _)) = answer(None) else { return };
    assert_eq!(expected.len(), 10);
    for lost_after in [0, 1, 3, 6] {
        let (tokens, losses) = answer(Some(lost_after)).expect("the adapter was there before");
        assert_eq!((tokens, losses), (expected.clone(), 1), "lost after {lost_after} events");
    }
}
