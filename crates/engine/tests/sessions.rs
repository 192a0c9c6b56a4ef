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
