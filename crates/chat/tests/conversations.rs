//! Conversations in turn: what is read again, what is not, and how much room they take.

#[path = "../../engine/tests/support/mod.rs"]
mod support;

use std::ops::ControlFlow;

use nearside_chat::{Conversations, Limits};
use nearside_engine::{ContextPolicy, Engine, EngineOptions, GenerateOptions};
use support::frail::Frail;
use support::scripted::{Nature, Scripted};
use support::tiny::Tiny;
use support::{answer, fresh, load, sampled};

const ANSWER: usize = 4;

/// So many conversations, whatever room they take.
fn up_to(conversations: usize) -> Conversations {
    Conversations::new(Limits { conversations, bytes: u64::MAX })
}

fn engine() -> (Engine, Scripted) {
    let backend = Scripted::new(Nature::Wild);
    (load(&backend, EngineOptions::default()).expect("a sound model"), backend)
}

/// A conversation that begins with its own tokens.
fn opening(first: u32) -> Vec<u32> {
    (0..20).map(|position| (first + position * (first + 1)) % 26).collect()
}

/// One turn, after which the conversation holds its answer.
fn turn(engine: &mut Engine, conversations: &mut Conversations, conversation: &mut Vec<u32>) {
    let session = conversations.session(engine, conversation).expect("there is room");
    let ids = answer(engine, session, conversation, sampled(1, ANSWER)).ids();
    conversation.extend(ids);
}

#[test]
fn conversations_in_turn_read_only_what_is_new_in_them() {
    let (mut engine, backend) = engine();
    let mut conversations = up_to(2);
    let mut both = [opening(0), opening(1)];
    for conversation in &mut both {
        turn(&mut engine, &mut conversations, conversation);
        assert_eq!(backend.seen.take_read(), 20 + ANSWER - 1);
    }
    for round in 0..3 {
        for conversation in &mut both {
            conversation.extend([7, 8, 9]);
            let asked = conversation.clone();
            turn(&mut engine, &mut conversations, conversation);
            let read = backend.seen.take_read();
            assert_eq!(
                read,
                1 + 3 + ANSWER - 1,
                "round {round}: the last answer's last token, the new turn, its answer"
            );
            assert_eq!(conversation[asked.len()..], fresh(&mut engine, &asked, sampled(1, ANSWER)).ids());
            backend.seen.take_read();
        }
    }
    assert_eq!((conversations.len(), backend.seen.caches.get()), (2, 2));
}

#[test]
fn the_conversation_that_was_used_longest_ago_makes_room_and_no_more_is_taken() {
    let (mut engine, backend) = engine();
    let each = engine.session_bytes();
    assert!(each > 0);
    let limits = [
        (Limits { conversations: 2, bytes: u64::MAX }, 2),
        (Limits { conversations: 9, bytes: 3 * each - 1 }, 2),
        (Limits { conversations: 9, bytes: 0 }, 1),
        (Limits { conversations: 0, bytes: u64::MAX }, 1),
    ];
    for (limits, most) in limits {
        let mut conversations = Conversations::new(limits);
        let mut three = [opening(0), opening(1), opening(2)];
        for index in [0, 1, 2, 1, 2] {
            turn(&mut engine, &mut conversations, &mut three[index]);
            assert!(backend.seen.caches.get() <= most && conversations.len() <= most, "{limits:?}");
        }
        backend.seen.take_read();
        turn(&mut engine, &mut conversations, &mut three[2]);
        assert_eq!(backend.seen.take_read(), 1 + ANSWER - 1, "the newest one is there: {limits:?}");
        let known = three[0].len();
        turn(&mut engine, &mut conversations, &mut three[0]);
        assert_eq!(backend.seen.take_read(), known + ANSWER - 1, "the oldest one is not: {limits:?}");
        conversations.give_way(&mut engine);
        assert_eq!(backend.seen.caches.get(), 0);
    }
}

#[test]
fn what_begins_alike_is_copied_and_both_go_on() {
    let (mut engine, backend) = engine();
    let mut conversations = up_to(3);
    let mut one = [opening(0), opening(3)].concat();
    let mut other = [&one[..30], &[3, 3, 3, 3]].concat();
    turn(&mut engine, &mut conversations, &mut one);
    backend.seen.take_read();
    turn(&mut engine, &mut conversations, &mut other);
    assert_eq!(backend.seen.take_read(), 4 + ANSWER - 1, "only what is its own");
    assert_eq!(*backend.seen.forks.borrow(), [30]);
    assert_eq!((conversations.len(), backend.seen.caches.get()), (2, 2));
    for conversation in [&mut one, &mut other] {
        conversation.extend([5, 6]);
        let asked = conversation.clone();
        turn(&mut engine, &mut conversations, conversation);
        assert_eq!(backend.seen.take_read(), 1 + 2 + ANSWER - 1);
        assert_eq!(conversation[asked.len()..], fresh(&mut engine, &asked, sampled(1, ANSWER)).ids());
        backend.seen.take_read();
    }
    // The same question again is the same conversation.
    let again = one[..one.len() - ANSWER].to_vec();
    turn(&mut engine, &mut conversations, &mut again.clone());
    assert_eq!((backend.seen.take_read(), conversations.len()), (1 + ANSWER - 1, 2));
}

#[test]
fn a_lost_device_costs_reading_them_again_and_nothing_else() {
    let backend = Frail::new(Scripted::new(Nature::Wild));
    let mut engine = load(&backend, EngineOptions::default()).expect("a sound model");
    let mut conversations = up_to(2);
    let mut both = [opening(0), opening(1)];
    for conversation in &mut both {
        turn(&mut engine, &mut conversations, conversation);
    }
    backend.fate.lose_after(0);
    assert!(engine.create_session().expect_err("it is gone").is_device_lost());
    // While it is gone, a third conversation gets the session of an older one; its answer then recovers.
    let third = opening(2);
    conversations.session(&mut engine, &third).expect("the tokens are still there");
    backend.fate.relent();
    let mut progress = |_, _| ControlFlow::Continue(());
    pollster::block_on(engine.recover(&Tiny::default().file(), &backend, &mut progress)).expect("it comes back");
    for conversation in &mut both {
        conversation.extend([7, 8]);
        let asked = conversation.clone();
        turn(&mut engine, &mut conversations, conversation);
        assert_eq!(conversation[asked.len()..], fresh(&mut engine, &asked, sampled(1, ANSWER)).ids());
        assert_eq!(conversations.len(), 2);
    }
}

#[test]
fn giving_way_leaves_one_at_a_time() {
    let (mut engine, backend) = engine();
    let mut conversations = up_to(4);
    let mut both = [opening(0), opening(1)];
    for conversation in &mut both {
        turn(&mut engine, &mut conversations, conversation);
    }
    assert!(conversations.give_way(&mut engine));
    assert!(conversations.is_empty());
    for conversation in &mut both {
        turn(&mut engine, &mut conversations, conversation);
        assert_eq!((conversations.len(), backend.seen.caches.get()), (1, 1));
    }
    assert!(!conversations.give_way(&mut engine), "there was nothing to gain");
}

#[test]
fn a_conversation_that_outgrew_the_context_is_still_the_same_one() {
    let (mut engine, backend) = engine();
    let mut conversations = up_to(3);
    let options = || GenerateOptions { when_full: ContextPolicy::Slide { keep: 2 }, ..sampled(1, ANSWER) };
    let mut conversation = opening(0);
    for _ in 0..12 {
        let session = conversations.session(&mut engine, &conversation).expect("there is room");
        let ids = answer(&mut engine, session, &conversation, options()).ids();
        conversation.extend(ids);
        conversation.extend([7, 8, 9]);
    }
    assert!(conversation.len() > engine.info().context);
    assert_eq!((conversations.len(), backend.seen.caches.get()), (1, 1));
}
