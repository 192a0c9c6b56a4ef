//! Losing the device at every call, and going on.

mod support;

use std::ops::ControlFlow;
use std::rc::Rc;

use nearside_engine::backend::Backend;
use nearside_engine::{Engine, EngineError, EngineOptions, Event, GenerateOptions, Sampling, Session, Speculation};
use support::frail::Frail;
use support::scripted::{Nature, Scripted};
use support::tiny::Tiny;
use support::{answer, fresh, load, sampled};

const PROMPT: [u32; 7] = [1, 2, 3, 4, 5, 6, 7];

fn recover(engine: &mut Engine, backend: &dyn Backend) -> Result<(), EngineError> {
    let mut progress = |_, _| ControlFlow::Continue(());
    pollster::block_on(engine.recover(&Tiny::default().file(), backend, &mut progress))
}

fn options() -> EngineOptions {
    EngineOptions { batch: Some(3), ..EngineOptions::default() }
}

fn expected() -> Vec<u32> {
    let mut engine = load(&Scripted::new(Nature::Wild), options()).expect("a sound model");
    let mut session = engine.create_session().expect("room for a session");
    answer(&mut engine, &mut session, &PROMPT, sampled(4, 12)).ids()
}

#[test]
fn a_device_lost_while_loading_is_one_clear_error_and_loading_again_works() {
    let backend = Frail::new(Scripted::new(Nature::Wild));
    backend.fate.lose_after(0);
    let error = load(&backend, options()).err().expect("the device is gone");
    assert!(error.is_device_lost(), "{error}");
    load(&backend, options()).expect("a sound model");
}

#[test]
fn a_file_of_another_model_is_not_recovered_from() {
    let backend = Frail::new(Scripted::new(Nature::Wild));
    let mut engine = load(&backend, options()).expect("a sound model");
    let other = Tiny { width: 64, ..Tiny::default() }.file();
    let mut progress = |_, _| ControlFlow::Continue(());
    let error = pollster::block_on(engine.recover(&other, &backend, &mut progress)).expect_err("another model");
    assert!(matches!(error, EngineError::OtherModel), "{error}");
    let mut session = engine.create_session().expect("the model is still there");
    assert_eq!(answer(&mut engine, &mut session, &PROMPT, sampled(4, 12)).ids(), expected());
}

#[test]
fn a_recovery_that_fails_can_be_tried_again_and_on_another_backend() {
    let backend = Frail::new(Scripted::new(Nature::Wild));
    let mut engine = load(&backend, options()).expect("a sound model");
    let mut session = engine.create_session().expect("room for a session");
    answer(&mut engine, &mut session, &PROMPT, sampled(4, 12));
    let tokens = engine.session_tokens(&session).to_vec();
    backend.fate.lose_after(0);
    let error = recover(&mut engine, &backend).expect_err("it does not come back");
    assert!(error.is_device_lost(), "{error}");
    let error = engine.create_session().expect_err("there is no device");
    assert!(error.is_device_lost(), "{error}");
    assert_eq!(engine.session_tokens(&session), tokens, "they survive");
    recover(&mut engine, &Scripted::new(Nature::Wild)).expect("another backend");
    let again = answer(&mut engine, &mut session, &PROMPT, sampled(4, 12));
    assert_eq!((again.ids(), again.finish.reused_tokens), (expected(), 0));
    engine.close_session(session);
}

/// Goes through an answer and recovers whenever the device is lost; how often that was.
fn endure(
    engine: &mut Engine,
    session: &mut Session,
    backend: &dyn Backend,
    mut options: impl FnMut() -> GenerateOptions,
) -> (Vec<u32>, usize) {
    let mut losses = 0;
    let mut generation = loop {
        match engine.generate(session, &PROMPT, options()) {
            Ok(generation) => break generation,
            Err(error) => {
                assert!(error.is_device_lost(), "{error}");
                losses += 1;
            }
        }
        recover(engine, backend).expect("the device comes back");
    };
    let (mut tokens, mut finished) = (Vec::new(), 0);
    loop {
        match pollster::block_on(generation.next()) {
            Ok(Some(Event::Token(token))) => tokens.push(token.id),
            Ok(Some(Event::Finished(finish))) => {
                assert_eq!(finish.completion_tokens, tokens.len());
                finished += 1;
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                assert!(error.is_device_lost(), "{error}");
                assert_eq!(pollster::block_on(generation.next()).expect("nothing goes on by itself"), None);
                losses += 1;
                let mut progress = |_, _| ControlFlow::Continue(());
                let file = Tiny::default().file();
                pollster::block_on(generation.recover(&file, backend, &mut progress)).expect("the device comes back");
            }
        }
    }
    assert_eq!(finished, 1);
    (tokens, losses)
}

/// Every way of stepping: pipelined, with held logits, and with foresight.
fn ways() -> [GenerateOptions; 3] {
    let plain = sampled(4, 12);
    let sampling = Sampling { repetition_penalty: 1.3, presence_penalty: 0.4, ..plain.sampling };
    [
        plain.clone(),
        GenerateOptions { sampling, ..plain.clone() },
        GenerateOptions { speculation: Speculation::Lookup, ..plain },
    ]
}

#[test]
fn an_answer_goes_on_as_it_would_have_wherever_the_device_was_lost() {
    for way in ways() {
        let mut sound = load(&Scripted::new(Nature::Copying), options()).expect("a sound model");
        let expected = fresh(&mut sound, &PROMPT, way.clone()).ids();
        let mut lost_at = 0;
        loop {
            let backend = Frail::new(Scripted::new(Nature::Copying));
            let mut engine = load(&backend, options()).expect("a sound model");
            let mut session = engine.create_session().expect("room for a session");
            backend.fate.lose_after(lost_at);
            let (tokens, losses) = endure(&mut engine, &mut session, &backend, || way.clone());
            assert_eq!(tokens, expected, "lost at call {lost_at} of {way:?}");
            if losses == 0 {
                break;
            }
            assert_eq!(losses, 1);
            backend.fate.relent();
            // What comes next in the conversation is right as well.
            let next = [&PROMPT[..], &tokens, &[9, 9]].concat();
            let after = answer(&mut engine, &mut session, &next, way.clone()).ids();
            assert_eq!(after, fresh(&mut engine, &next, way.clone()).ids());
            lost_at += 1;
        }
        assert!(lost_at > 3 * 2 + 6, "each of the steps was lost once, sent or collected: {lost_at}");
    }
}

#[test]
fn a_device_that_is_lost_again_and_again_only_takes_longer() {
    let backend = Frail::new(Scripted::new(Nature::Wild));
    let mut engine = load(&backend, options()).expect("a sound model");
    let mut session = engine.create_session().expect("room for a session");
    let fate = Rc::clone(&backend.fate);
    backend.fate.lose_after(17);
    let mut rounds = 0;
    let mut generation = engine.generate(&mut session, &PROMPT, sampled(4, 12)).expect("sound options");
    let answered = support::finish_recovering(&mut generation, &backend, || {
        fate.lose_after(17);
        rounds += 1;
    });
    assert_eq!(answered.ids(), expected());
    assert!(rounds > 1, "it was lost {rounds} times");
}

#[test]
fn adapters_stay_in_use_over_a_loss() {
    let backend = Frail::new(Scripted::new(Nature::Wild));
    let mut engine = load(&backend, options()).expect("a sound model");
    let adapter = engine.add_adapter(Rc::new(support::adapter())).expect("a sound adapter");
    engine.use_adapters(&[(adapter, 0.5)]).expect("it is held");
    let changed = fresh(&mut engine, &PROMPT, sampled(4, 12)).ids();
    assert_ne!(changed, expected());
    recover(&mut engine, &backend).expect("the device comes back");
    assert_eq!(fresh(&mut engine, &PROMPT, sampled(4, 12)).ids(), changed);
    engine.remove_adapter(adapter).expect("it is held");
    assert_eq!(fresh(&mut engine, &PROMPT, sampled(4, 12)).ids(), expected());
}
