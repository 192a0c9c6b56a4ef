//! Backends for tests: one whose tokens follow from its cache alone, and one that loses its device on demand.

#![allow(dead_code, reason = "each test binary uses its part of this")]

pub(crate) mod adapter_file;
pub(crate) mod frail;
pub(crate) mod scripted;
#[path = "../../../cpu/tests/support/tiny.rs"]
pub(crate) mod tiny;

use std::ops::ControlFlow;

use nearside_engine::backend::Backend;
use nearside_engine::{
    Engine, EngineError, EngineOptions, Event, Finish, GenerateOptions, GeneratedToken, Generation, Sampling, Session,
};
use tiny::Tiny;

/// The tiny model on a backend. Only its tokenizer and sizes matter where the backend is scripted.
pub(crate) fn load(backend: &dyn Backend, options: EngineOptions) -> Result<Engine, EngineError> {
    let mut progress = |_, _| ControlFlow::Continue(());
    pollster::block_on(Engine::load(&Tiny::default().file(), backend, options, &mut progress))
}

/// A sound adapter for it.
pub(crate) fn adapter() -> Vec<u8> {
    adapter_file::file(&[], &adapter_file::halves(4))
}

/// The same seed, the same tokens; so many of them.
pub(crate) fn sampled(seed: u64, max_tokens: usize) -> GenerateOptions {
    let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed, ..Sampling::default() };
    GenerateOptions { sampling, max_tokens, ignore_end: true, ..GenerateOptions::default() }
}

/// The best token each time; so many of them.
pub(crate) fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { sampling: Sampling::greedy(), ..sampled(0, max_tokens) }
}

/// What an answer consisted of.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) events: Vec<Event>,
    pub(crate) tokens: Vec<GeneratedToken>,
    pub(crate) text: String,
    pub(crate) finish: Finish,
}

impl Answer {
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

/// Runs an answer to its end.
pub(crate) fn answer(engine: &mut Engine, session: &mut Session, prompt: &[u32], options: GenerateOptions) -> Answer {
    let mut generation = engine.generate(session, prompt, options).expect("sound options");
    finish(&mut generation, Vec::new()).expect("the steps succeed")
}

/// Runs what is left of an answer whose first events are known.
pub(crate) fn finish(generation: &mut Generation<'_>, mut events: Vec<Event>) -> Result<Answer, EngineError> {
    while let Some(event) = pollster::block_on(generation.next())? {
        events.push(event);
    }
    let (mut tokens, mut text, mut finish) = (Vec::new(), String::new(), None);
    for event in &events {
        match event {
            Event::Token(token) => {
                text.push_str(&token.text);
                tokens.push(token.clone());
            }
            Event::Finished(end) => {
                text.push_str(&end.text_tail);
                finish = Some(end.clone());
            }
            Event::Prefill { .. } | Event::Slid { .. } => {}
        }
    }
    Ok(Answer { events, tokens, text, finish: finish.expect("an answer ends with `Finished`") })
}

/// Runs an answer to its end, loading the model again whenever its device is lost; `lost` hears of each time.
pub(crate) fn finish_recovering(
    generation: &mut Generation<'_>,
    backend: &dyn Backend,
    mut lost: impl FnMut(),
) -> Answer {
    let mut events = Vec::new();
    loop {
        match pollster::block_on(generation.next()) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return finish(generation, events).expect("it is over"),
            Err(error) => {
                assert!(error.is_device_lost(), "{error}");
                let mut progress = |_, _| ControlFlow::Continue(());
                let file = Tiny::default().file();
                pollster::block_on(generation.recover(&file, backend, &mut progress)).expect("it comes back");
                lost();
            }
        }
    }
}

/// The answer of a session of its own.
pub(crate) fn fresh(engine: &mut Engine, prompt: &[u32], options: GenerateOptions) -> Answer {
    let mut session = engine.create_session().expect("room for a session");
    let answer = answer(engine, &mut session, prompt, options);
    engine.close_session(session);
    answer
}
