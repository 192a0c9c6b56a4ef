//! Penalties, biases and constraints: what they change, and that nothing else changes with them.

mod support;

use std::time::{Duration, Instant};

use nearside_engine::{Constraint, Engine, EngineOptions, FinishReason, GenerateOptions, Sampling, Thought};
use support::scripted::{Nature, Scripted};
use support::{answer, fresh, greedy, load, sampled};

const PROMPT: [u32; 5] = [1, 2, 3, 2, 1];

/// An engine whose device runs beside it or not, and reads so many tokens in a step.
fn engine(depth: usize, batch: usize) -> (Engine, Scripted) {
    let backend = Scripted { depth, ..Scripted::new(Nature::Wild) };
    let options = EngineOptions { batch: Some(batch), ..EngineOptions::default() };
    (load(&backend, options).expect("a sound model"), backend)
}

fn constrained(constraint: Constraint, max_tokens: usize) -> GenerateOptions {
    GenerateOptions { constraint: Some(constraint), ..sampled(5, max_tokens) }
}

fn regex(text: &str) -> Constraint {
    Constraint::Regex(text.to_owned())
}

#[test]
fn a_bias_of_nothing_changes_nothing() {
    for depth in [1, 2] {
        for batch in [2, 64] {
            let (mut engine, _) = engine(depth, batch);
            let plain = fresh(&mut engine, &PROMPT, GenerateOptions { top_logprobs: 3, ..sampled(9, 20) });
            let options = GenerateOptions { top_logprobs: 3, logit_bias: vec![(4, 0.0)], ..sampled(9, 20) };
            let held = fresh(&mut engine, &PROMPT, options);
            assert_eq!(held.events, plain.events, "depth {depth}, batch {batch}");
        }
    }
}

#[test]
fn a_bias_forbids_and_forces() {
    let (mut engine, _) = engine(2, 64);
    let free = fresh(&mut engine, &PROMPT, sampled(3, 30)).ids();
    let banned = free[0];
    let options = GenerateOptions { logit_bias: vec![(banned, -100.0)], ..sampled(3, 30) };
    assert!(!fresh(&mut engine, &PROMPT, options).ids().contains(&banned));
    let options = GenerateOptions { logit_bias: vec![(7, 100.0)], ..sampled(3, 10) };
    assert_eq!(fresh(&mut engine, &PROMPT, options).ids(), [7; 10]);
}

#[test]
fn a_present_token_is_not_repeated_before_all_others_came() {
    let (mut engine, _) = engine(2, 64);
    let sampling = Sampling { presence_penalty: 100.0, ..Sampling::greedy() };
    let mut ids = fresh(&mut engine, &PROMPT, GenerateOptions { sampling, ..greedy(27) }).ids();
    ids.sort_unstable();
    assert_eq!(ids, (0..27).collect::<Vec<_>>(), "also those of the prompt, which does not count");
}

#[test]
fn a_frequent_token_is_penalized_more() {
    let (mut engine, _) = engine(2, 64);
    let sampling = Sampling { frequency_penalty: 100.0, ..Sampling::greedy() };
    let ids = fresh(&mut engine, &PROMPT, GenerateOptions { sampling, ..greedy(54) }).ids();
    for token in 0..27 {
        assert_eq!(ids.iter().filter(|id| **id == token).count(), 2, "{ids:?}");
    }
}

#[test]
fn repetition_looks_back_as_far_as_its_window() {
    let (mut engine, _) = engine(2, 64);
    let sampling = Sampling { repetition_penalty: 1000.0, repetition_window: 8, ..Sampling::greedy() };
    let ids = fresh(&mut engine, &PROMPT, GenerateOptions { sampling, ..greedy(40) }).ids();
    let all: Vec<u32> = PROMPT.iter().chain(&ids).copied().collect();
    for (place, id) in all.iter().enumerate().skip(PROMPT.len()) {
        assert!(!all[place.saturating_sub(8)..place].contains(id), "{all:?}");
    }
    assert!((0..40).any(|place| ids[place + 1..].contains(&ids[place])), "beyond the window a token may come again");
}

#[test]
fn an_answer_matches_its_expression_and_ends_with_it() {
    for depth in [1, 2] {
        for batch in [2, 64] {
            let (mut engine, _) = engine(depth, batch);
            let answer = fresh(&mut engine, &PROMPT, constrained(regex("(ab|xyz){3}q[a-f]"), 40));
            let text = answer.text.as_str();
            let rest = (0..3).fold(text, |rest, _| {
                rest.strip_prefix("ab").or_else(|| rest.strip_prefix("xyz")).unwrap_or_else(|| panic!("{text}"))
            });
            assert!(matches!(rest.as_bytes(), [b'q', b'a'..=b'f']), "{text}");
            assert_eq!(answer.finish.reason, FinishReason::Stop);
            assert_eq!(answer.finish.completion_tokens, text.len(), "a letter is a token");
        }
    }
}

#[test]
fn the_answer_depends_on_neither_batch_nor_overlap() {
    let answers: Vec<String> = [(1, 1), (1, 64), (2, 2), (2, 64)]
        .into_iter()
        .map(|(depth, batch)| {
            let (mut engine, _) = engine(depth, batch);
            let options = GenerateOptions {
                logit_bias: vec![(3, 1.0)],
                ..constrained(regex("abcde([k-t]{2}fghij){4}[a-z]*"), 50)
            };
            fresh(&mut engine, &PROMPT, options).text
        })
        .collect();
    assert!(answers[0].len() == 50 && answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[test]
fn what_can_only_follow_is_read_in_one_step_and_is_certain() {
    let (mut engine, backend) = engine(1, 64);
    let options = GenerateOptions { top_logprobs: 2, ..constrained(regex("hello[a-c]world[a-c]"), 40) };
    let answer = fresh(&mut engine, &PROMPT, options);
    assert_eq!(answer.text.len(), 12, "{}", answer.text);
    let steps: Vec<usize> = backend.seen.steps.take().iter().map(|(tokens, _)| *tokens).collect();
    assert_eq!(steps, [PROMPT.len() + 5, 6], "each choice is followed by all that it decides");
    for (token, letter) in answer.tokens.iter().zip(answer.text.chars()) {
        assert_eq!(token.log_probability == 0.0, !('a'..='c').contains(&letter));
        assert!(token.top.iter().all(|(_, log_probability)| log_probability.is_finite()));
        let choices = if ('a'..='c').contains(&letter) { 2 } else { 1 };
        assert_eq!(token.top.len(), choices, "of {letter}");
    }
    // All of it may be certain.
    let answer = fresh(&mut engine, &PROMPT, constrained(regex("hello"), 40));
    assert_eq!((answer.text.as_str(), answer.finish.reason), ("hello", FinishReason::Stop));
}

#[test]
fn an_answer_that_runs_out_of_tokens_is_cut() {
    let (mut engine, _) = engine(2, 64);
    let answer = fresh(&mut engine, &PROMPT, constrained(regex("hello[a-c]world"), 3));
    assert_eq!((answer.text.as_str(), answer.finish.reason), ("hel", FinishReason::Length));
    let none = fresh(&mut engine, &PROMPT, constrained(regex("hello"), 0));
    assert_eq!((none.text.as_str(), none.finish.reason), ("", FinishReason::Length));
    // The token that completes it is worth more than the limit that it reaches.
    let whole = fresh(&mut engine, &PROMPT, constrained(regex("hello"), 5));
    assert_eq!(whole.finish.reason, FinishReason::Stop);
    // The tiny model's context of 64 ends it, too.
    let full = fresh(&mut engine, &PROMPT, constrained(regex("[a-z]{100}"), 100));
    assert_eq!((full.text.len(), full.finish.reason), (60, FinishReason::ContextFull));
    let full = fresh(&mut engine, &PROMPT, constrained(regex("(abcdefghij){10}"), 100));
    assert_eq!((full.text.len(), full.finish.reason), (60, FinishReason::ContextFull));
}

#[test]
fn the_model_may_end_where_the_expression_may() {
    let (mut engine, _) = engine(2, 64);
    let reasons: Vec<FinishReason> = (0..20)
        .map(|seed| {
            let options = GenerateOptions { ignore_end: true, constraint: Some(regex("[a-z]+")), ..sampled(seed, 30) };
            let answer = fresh(&mut engine, &PROMPT, options);
            assert!(!answer.text.is_empty() && answer.text.bytes().all(|byte| byte.is_ascii_lowercase()));
            answer.finish.reason
        })
        .collect();
    assert!(reasons.contains(&FinishReason::Stop) && reasons.contains(&FinishReason::Length), "{reasons:?}");
}

#[test]
fn a_thought_comes_before_what_has_a_form() {
    let (mut engine, _) = engine(2, 64);
    let forms = [
        (regex("ab"), "ab"),
        (Constraint::Lark("start: \"a\" B\nB: \"b\"".to_owned()), "ab"),
        (Constraint::JsonSchema(r#"{"const": null}"#.to_owned()), "null"),
    ];
    // The letters x and y make up the mark, which the model writes often enough by itself.
    let answers = |engine: &mut Engine, open: Option<&str>, seed| {
        let forms = forms.clone().map(|(form, text)| {
            let thought = Thought { open: open.map(str::to_owned), close: "xy".to_owned() };
            let options = GenerateOptions {
                logit_bias: vec![(23, 5.0), (24, 5.0)],
                thought: Some(thought),
                constraint: Some(form),
                ..sampled(seed, 58)
            };
            let answer = fresh(engine, &PROMPT, options);
            assert_eq!(answer.finish.reason, FinishReason::Stop, "{}", answer.text);
            (answer.text, text)
        });
        forms.to_vec()
    };
    for (answer, text) in answers(&mut engine, None, 5) {
        let (thought, value) = answer.split_once("xy").expect("the mark");
        assert!(!thought.is_empty() && value == text, "{answer}");
    }
    let mut begun = 0;
    for seed in 0..8 {
        for (answer, text) in answers(&mut engine, Some("q"), seed) {
            match answer.strip_prefix('q') {
                Some(rest) => assert_eq!(rest.split_once("xy").map(|(_, value)| value), Some(text), "{answer}"),
                None => assert_eq!(answer, text),
            }
            begun += usize::from(answer.starts_with('q'));
        }
    }
    assert!(0 < begun && begun < 24, "a thought that the answer opens may be left out: {begun}");
}

#[test]
fn a_session_goes_on_after_a_constrained_answer_whole_or_dropped() {
    for depth in [1, 2] {
        let (mut engine, _) = engine(depth, 64);
        let mut session = engine.create_session().expect("room for a session");
        let first = answer(&mut engine, &mut session, &PROMPT, constrained(regex("ab[a-z]{3}cde[x-z]"), 40));
        let prompt: Vec<u32> = PROMPT.into_iter().chain(first.ids()).chain([8, 9]).collect();
        let second = answer(&mut engine, &mut session, &prompt, sampled(1, 6));
        assert_eq!(second.finish.reused_tokens, prompt.len() - 3, "all but the newest token and the new turn");
        assert_eq!(second.ids(), fresh(&mut engine, &prompt, sampled(1, 6)).ids());
        for events in 0..12 {
            let options = constrained(regex("ab[a-z]{3}cde[x-z]"), 40);
            let mut generation = engine.generate(&mut session, &[4, 5], options).expect("sound options");
            for _ in 0..events {
                pollster::block_on(generation.next()).expect("the steps succeed");
            }
            drop(generation);
            let after = answer(&mut engine, &mut session, &[4, 5, 6], sampled(2, 6));
            assert_eq!(after.ids(), fresh(&mut engine, &[4, 5, 6], sampled(2, 6)).ids(), "after {events} events");
        }
    }
}

#[test]
fn a_constraint_that_cannot_work_is_one_error_and_soon() {
    let (mut engine, _) = engine(2, 64);
    let mut session = engine.create_session().expect("room for a session");
    let nested = |depth: usize| format!("{}true{}", r#"{"items":"#.repeat(depth), "}".repeat(depth));
    let branches = (0..500).map(|number| format!("(a|b){{{number}}}c")).collect::<Vec<_>>().join("|");
    let refused = [
        ("an open bracket", regex("(ab")),
        ("not JSON", Constraint::JsonSchema("{".to_owned())),
        ("an unknown type", Constraint::JsonSchema(r#"{"type": "colour"}"#.to_owned())),
        ("no value", Constraint::JsonSchema(r#"{"type": "integer", "minimum": 5, "maximum": 4}"#.to_owned())),
        ("a missing definition", Constraint::JsonSchema(r##"{"$ref": "#/$defs/gone"}"##.to_owned())),
        ("a missing rule", Constraint::Lark("start: gone".to_owned())),
        ("no grammar", Constraint::Lark("!".to_owned())),
        ("too deep", Constraint::JsonSchema(nested(2000))),
        ("too deep for a grammar", Constraint::Lark(format!("start: {}\"a\"{}", "(".repeat(2000), ")".repeat(2000)))),
        ("a text without tokens", regex("[0-9]")),
    ];
    for (what, constraint) in refused {
        let started = Instant::now();
        let mut generation = engine.generate(&mut session, &PROMPT, constrained(constraint, 20));
        let error = match &mut generation {
            Err(error) => error.to_string(),
            Ok(generation) => loop {
                match pollster::block_on(generation.next()) {
                    Err(error) => break error.to_string(),
                    Ok(event) => assert!(event.is_some(), "{what} was accepted"),
                }
            },
        };
        assert!(error.contains("cannot constrain the answer: ") && error.len() < 500, "{what}: {error}");
        assert!(started.elapsed() < Duration::from_secs(5), "{what} took {:?}", started.elapsed());
    }
    // What explodes may be refused or not, but it ends.
    let explosive = [
        regex("((a{1,500}){1,500}){1,500}"),
        regex("(.*a){20}(.*b){20}(.*c){20}"),
        regex(&branches),
        Constraint::JsonSchema(r#"{"type": "array", "minItems": 1000000000}"#.to_owned()),
        Constraint::JsonSchema(r#"{"type": "string", "minLength": 1000000000}"#.to_owned()),
        Constraint::JsonSchema(nested(50)),
        Constraint::Lark("start: start start | start \"a\" | \"a\" | \"\"".to_owned()),
        Constraint::Lark(r#"start: "a"{0,100000}"#.to_owned()),
        Constraint::JsonSchema(
            r##"{"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/a"}]}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}"##
                .to_owned(),
        ),
    ];
    for constraint in explosive {
        let started = Instant::now();
        let what = format!("{constraint:?}");
        if let Ok(mut generation) = engine.generate(&mut session, &PROMPT, constrained(constraint, 20)) {
            while let Ok(Some(_)) = pollster::block_on(generation.next()) {}
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{what} took {:?}", started.elapsed());
    }
    assert_eq!(answer(&mut engine, &mut session, &PROMPT, sampled(1, 3)).ids().len(), 3);
}

#[test]
fn senseless_penalties_are_refused_by_name() {
    let (mut engine, _) = engine(2, 64);
    let mut session = engine.create_session().expect("room for a session");
    let plain = || sampled(1, 1);
    let with = |change: fn(&mut Sampling)| {
        let mut options = plain();
        change(&mut options.sampling);
        options
    };
    for (name, options) in [
        ("repetition_penalty", with(|sampling| sampling.repetition_penalty = 0.0)),
        ("repetition_penalty", with(|sampling| sampling.repetition_penalty = f32::NAN)),
        ("frequency_penalty", with(|sampling| sampling.frequency_penalty = f32::INFINITY)),
        ("presence_penalty", with(|sampling| sampling.presence_penalty = f32::NAN)),
        ("logit_bias", GenerateOptions { logit_bias: vec![(27, 1.0)], ..plain() }),
        ("logit_bias", GenerateOptions { logit_bias: vec![(2, f32::NAN)], ..plain() }),
    ] {
        let error = engine.generate(&mut session, &PROMPT, options).err().expect("a refusal").to_string();
        assert!(error.contains(name), "{error}");
    }
}
