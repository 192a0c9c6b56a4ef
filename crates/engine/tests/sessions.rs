//! Sessions: what is run again, what is not, and what one conversation does to another.

mod support;

use nearside_engine::{Engine, EngineOptions};
use support::scripted::{Nature, Scripted};
use support::{answer, fresh, load, sampled};

fn engine() -> (Engine, Scripted) {
    let backend = Scripted::new(Nature::Wild);
    (load(&backend, EngineOptions::default()).expect("a sound model"), backend)
}

#[test]
fn a_follow_up_turn_reads_only_its_new_tokens() {
    let (mut engine, backend) = engine();
    let mut session = engine.create_session().expect("room for a session");
    let first = answer(&mut engine, &mut session, &[1, 2, 3, 4, 5, 6], sampled(1, 4));
    assert_eq!(backend.seen.take_read(), 6 + 3, "the prompt, and every token of the answer but the last");
    let mut prompt = vec![1, 2, 3, 4, 5, 6];
    prompt.extend(first.ids());
    prompt.extend([7, 8, 9]);
    let second = answer(&mut engine, &mut session, &prompt, sampled(1, 1));
    assert_eq!(backend.seen.take_read(), 1 + 3, "the last answer's last token and the new turn");
    assert_eq!(second.finish.reused_tokens, 6 + 3);
    assert_eq!(second.ids(), fresh(&mut engine, &prompt, sampled(1, 1)).ids());
}

#[test]
fn after_an_answer_is_dropped_at_most_one_more_step_runs_and_the_next_question_is_right() {
    let (mut engine, backend) = engine();
    let expected = fresh(&mut engine, &[4, 5, 6], sampled(3, 5)).ids();
    for taken in 1..6 {
        let mut session = engine.create_session().expect("room for a session");
        backend.seen.take_read();
        let mut generation = engine.generate(&mut session, &[1, 2], sampled(1, 30)).expect("sound options");
        for _ in 0..=taken {
            pollster::block_on(generation.next()).expect("the steps succeed");
        }
        drop(generation);
        // One event is the prompt's; the last token taken needs no step that reads it.
        let needed = 2 + taken - 1;
        assert!(backend.seen.take_read() <= needed + 1, "dropped after {taken} tokens");
        assert_eq!(answer(&mut engine, &mut session, &[4, 5, 6], sampled(3, 5)).ids(), expected);
        assert_eq!(backend.seen.take_read(), 3 + 4);
        engine.close_session(session);
    }
}

#[test]
fn a_conversation_that_begins_like_another_starts_from_a_copy_of_its_cache() {
    let (mut engine, backend) = engine();
    let shared: Vec<u32> = (0..24).map(|token| token % 26).collect();
    let continued = |end: &[u32]| [&shared[..], end].concat();
    let mut expected = Vec::new();
    for end in [[1, 2], [3, 4]] {
        expected.push(fresh(&mut engine, &continued(&end), sampled(5, 6)).ids());
    }
    let mut one = engine.create_session().expect("room for a session");
    let mut other = engine.create_session().expect("room for a session");
    assert_eq!(answer(&mut engine, &mut one, &continued(&[1, 2]), sampled(5, 6)).ids(), expected[0]);
    backend.seen.take_read();
    let copied = answer(&mut engine, &mut other, &continued(&[3, 4]), sampled(5, 6));
    assert_eq!(copied.ids(), expected[1]);
    assert_eq!(copied.finish.reused_tokens, 24);
    assert_eq!(backend.seen.take_read(), 2 + 5, "only what is its own was read");
    assert_eq!(*backend.seen.forks.borrow(), [24]);
    assert_eq!(backend.seen.caches.get(), 2, "the copy took the place of the empty one");
    // The one it was copied from goes on undisturbed.
    let again = answer(&mut engine, &mut one, &continued(&[1, 2]), sampled(5, 6));
    assert_eq!((again.ids(), again.finish.reused_tokens), (expected[0].clone(), 25));
    // Little in common is not worth a copy.
    let mut third = engine.create_session().expect("room for a session");
    let short = answer(&mut engine, &mut third, &[0, 1, 2, 3, 25, 25], sampled(5, 2));
    assert_eq!(short.finish.reused_tokens, 0);
    assert_eq!(backend.seen.forks.borrow().len(), 1);
}

#[test]
fn conversations_side_by_side_answer_as_if_alone() {
    let (mut engine, _) = engine();
    let prompts: Vec<Vec<u32>> = (0..4).map(|first| (first..first + 9).collect()).collect();
    let alone: Vec<_> = prompts.iter().map(|prompt| fresh(&mut engine, prompt, sampled(2, 8)).ids()).collect();
    let mut sessions: Vec<_> = prompts.iter().map(|_| engine.create_session().expect("room for a session")).collect();
    for count in [1, 3, 8] {
        for ((prompt, session), alone) in prompts.iter().zip(&mut sessions).zip(&alone) {
            assert_eq!(answer(&mut engine, session, prompt, sampled(2, count)).ids(), alone[..count]);
        }
    }
}
