//! Conversations that outgrow the context.

mod support;

use nearside_engine::{ContextPolicy, Engine, EngineError, EngineOptions, Event, FinishReason, GenerateOptions};
use nearside_text::Message;
use support::scripted::{Nature, Scripted};
use support::tiny::END;
use support::{Answer, answer, fresh, load, sampled};

const CONTEXT: usize = 16;
const KEPT: [u32; 3] = [20, 21, 22];

fn engine() -> (Engine, Scripted) {
    let backend = Scripted::new(Nature::Wild);
    let options = EngineOptions { context: Some(CONTEXT), ..EngineOptions::default() };
    (load(&backend, options).expect("a sound model"), backend)
}

fn sliding(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { when_full: ContextPolicy::Slide { keep: KEPT.len() }, ..sampled(6, max_tokens) }
}

fn slides(answer: &Answer) -> Vec<usize> {
    let slid = answer.events.iter().filter_map(|event| match event {
        Event::Slid { dropped } => Some(*dropped),
        _ => None,
    });
    slid.collect()
}

#[test]
fn an_answer_stops_where_the_context_does_unless_it_may_slide() {
    let (mut engine, _) = engine();
    let stopped = fresh(&mut engine, &KEPT, sampled(6, 40));
    assert_eq!((stopped.finish.reason, stopped.finish.dropped_tokens), (FinishReason::ContextFull, 0));
    assert_eq!(stopped.finish.completion_tokens, CONTEXT - KEPT.len() + 1);
    let slid = fresh(&mut engine, &KEPT, sliding(40));
    assert_eq!((slid.finish.reason, slid.finish.completion_tokens), (FinishReason::Length, 40));
    assert_eq!(slid.ids()[..stopped.ids().len()], stopped.ids());
    let dropped = slides(&slid);
    assert!(dropped.len() > 3 && dropped.is_sorted(), "{dropped:?}");
    assert_eq!(dropped.last(), Some(&slid.finish.dropped_tokens));
}

#[test]
fn after_sliding_the_model_sees_what_was_kept_and_the_newest() {
    let (mut engine, _) = engine();
    let slid = fresh(&mut engine, &KEPT, sliding(40)).ids();
    let known = [&KEPT[..], &slid].concat();
    // Where it first slid, CONTEXT + 1 tokens were known, and a quarter of the context went.
    let seen = [&KEPT[..], &known[KEPT.len() + 4..=CONTEXT]].concat();
    let mut session = engine.create_session().expect("room for a session");
    let logits = pollster::block_on(engine.next_logits(&mut session, &seen)).expect("the steps succeed");
    let draw = nearside_engine::sampling::draw(6, CONTEXT + 1);
    let rule = nearside_engine::backend::SampleRule { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, draw };
    let best = nearside_engine::sampling::top_candidates(&logits, 64);
    assert_eq!(nearside_engine::sampling::choose(&best, &rule), Some(known[CONTEXT + 1]));
}

#[test]
fn a_prompt_that_is_too_long_slides_too_and_the_next_turn_finds_its_beginning() {
    let (mut engine, backend) = engine();
    let prompt: Vec<u32> = KEPT.into_iter().chain((0..19).map(|token| token % 20)).collect();
    let mut session = engine.create_session().expect("room for a session");
    let error = engine.generate(&mut session, &prompt, sampled(6, 3)).err().expect("too long a prompt");
    assert!(matches!(error, EngineError::PromptTooLong { tokens: 22, context: CONTEXT }), "{error}");
    let first = answer(&mut engine, &mut session, &prompt, sliding(1));
    // Six too many: two blocks of four.
    assert_eq!(slides(&first), [8]);
    assert_eq!(first.finish.prompt_tokens, 22);
    backend.seen.take_read();
    let next = [&prompt[..], &first.ids(), &[5]].concat();
    let second = answer(&mut engine, &mut session, &next, sliding(1));
    assert_eq!(second.finish.dropped_tokens, 8);
    assert_eq!(backend.seen.take_read(), 2, "the answer and the new turn");
}

#[test]
fn a_turn_that_ends_nearby_is_dropped_whole() {
    let (mut engine, _) = engine();
    let mut prompt: Vec<u32> = KEPT.into_iter().chain([1; 15]).collect();
    prompt[9] = END;
    let slid = fresh(&mut engine, &prompt, sliding(1));
    assert_eq!(slides(&slid), [7], "a block of four, and up to the end of the turn");
}

#[test]
fn what_is_kept_must_leave_room() {
    let (mut engine, _) = engine();
    let mut session = engine.create_session().expect("room for a session");
    let options = GenerateOptions { when_full: ContextPolicy::Slide { keep: 9 }, ..sampled(1, 1) };
    let error = engine.generate(&mut session, &[1; 20], options).err().expect("nothing else would fit");
    assert!(error.to_string().contains("keep at most half"), "{error}");
}

#[test]
fn the_system_prompt_is_counted_up_to_the_first_question() {
    let (engine, _) = engine();
    let message = |role: &str, content: &str| Message::new(role, content);
    let system = message("system", "abc");
    // The tiny model has no template: each message is a line, of which it knows the letters only.
    let count = |messages: &[Message]| engine.system_tokens(messages).expect("a sound layout");
    let with = count(&[system.clone(), message("user", "hello")]);
    let without = count(&[message("user", "hello")]);
    assert_eq!(with - without, "systemabc".len());
    assert_eq!(with, count(&[system, message("user", "xyz"), message("assistant", "b")]));
}
