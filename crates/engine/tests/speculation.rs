//! Foreseen tokens: the answer is the same, the steps are fewer, and where nothing can be foreseen not many more.

mod support;

use std::ops::ControlFlow;

use nearside_engine::{ContextPolicy, Engine, EngineError, EngineOptions, GenerateOptions, Sampling, Speculation};
use support::frail::Frail;
use support::scripted::{Nature, Scripted};
use support::tiny::Tiny;
use support::{Answer, answer, fresh, greedy, load, sampled};

const PROMPT: [u32; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3];

fn loaded(backend: &Scripted) -> Engine {
    load(backend, EngineOptions::default()).expect("a sound model")
}

fn scripted(nature: Nature, depth: usize) -> Scripted {
    Scripted { depth, ..Scripted::new(nature) }
}

fn with(speculation: Speculation, options: GenerateOptions) -> GenerateOptions {
    GenerateOptions { speculation, ..options }
}

/// The same in tokens, text, probabilities and reason.
fn assert_same(one: &Answer, other: &Answer) {
    assert_eq!(one.tokens, other.tokens);
    assert_eq!((&one.text, one.finish.reason), (&other.text, other.finish.reason));
    assert_eq!(one.finish.completion_tokens, other.finish.completion_tokens);
}

#[test]
fn looking_up_gives_the_plain_answer_however_it_is_sampled_and_wherever_it_ends() {
    for depth in [1, 2, 3] {
        for nature in [Nature::Wild, Nature::Copying] {
            let backend = scripted(nature, depth);
            let mut engine = loaded(&backend);
            let mut accepted = 0;
            for count in [0, 1, 2, 3, 7, 30, 52, 53, 100] {
                for options in
                    [greedy(count), sampled(5, count), GenerateOptions { top_logprobs: 3, ..sampled(6, count) }]
                {
                    let plain = fresh(&mut engine, &PROMPT, options.clone());
                    let quick = fresh(&mut engine, &PROMPT, with(Speculation::Lookup, options));
                    assert_same(&quick, &plain);
                    accepted += quick.finish.accepted_tokens;
                    assert!(quick.finish.accepted_tokens <= quick.finish.drafted_tokens);
                }
            }
            assert!(nature == Nature::Wild || accepted > 50, "{accepted} accepted");
        }
    }
}

#[test]
fn end_tokens_and_stop_texts_end_it_in_the_middle_of_what_was_foreseen() {
    let backend = scripted(Nature::Copying, 2);
    let mut engine = loaded(&backend);
    for seed in 0..20 {
        let free = fresh(&mut engine, &PROMPT, sampled(seed, 40));
        let third: String = free.text.chars().skip(20).take(3).collect();
        let stop = if third.is_empty() { Vec::new() } else { vec![third] };
        let options = GenerateOptions { stop, ignore_end: false, ..sampled(seed, 40) };
        let plain = fresh(&mut engine, &PROMPT, options.clone());
        let mut session = engine.create_session().expect("room for a session");
        let quick = answer(&mut engine, &mut session, &PROMPT, with(Speculation::Lookup, options));
        assert_same(&quick, &plain);
        // What the session holds is what was read, and the next turn is right.
        let next = [&PROMPT[..], &quick.ids(), &[3, 4]].concat();
        let after = answer(&mut engine, &mut session, &next, with(Speculation::Lookup, sampled(seed, 9)));
        assert_same(&after, &fresh(&mut engine, &next, sampled(seed, 9)));
        engine.close_session(session);
    }
}

#[test]
fn a_text_that_repeats_itself_takes_far_fewer_steps_and_an_unforeseeable_one_hardly_more() {
    let steps = |nature: Nature, speculation: Speculation| {
        let backend = scripted(nature, 1);
        let options = EngineOptions { context: Some(64), ..EngineOptions::default() };
        let mut engine = load(&backend, options).expect("a sound model");
        let sliding = GenerateOptions { when_full: ContextPolicy::Slide { keep: 0 }, ..greedy(400) };
        let finish = fresh(&mut engine, &PROMPT, with(speculation, sliding)).finish;
        let steps = backend.seen.steps.take();
        (steps.len(), steps.iter().map(|(rows, _)| rows).sum::<usize>(), finish)
    };
    let (plain, _, _) = steps(Nature::Copying, Speculation::None);
    let (quick, _, finish) = steps(Nature::Copying, Speculation::Lookup);
    assert!(quick * 2 < plain, "{quick} steps instead of {plain}, {finish:?}");
    let (plain, plain_rows, _) = steps(Nature::Wild, Speculation::None);
    let (quick, quick_rows, _) = steps(Nature::Wild, Speculation::Lookup);
    assert!(quick <= plain && quick_rows * 10 < plain_rows * 11, "{quick_rows} rows instead of {plain_rows}");
}

#[test]
fn an_answer_outgrows_its_context_the_same_way() {
    let backend = scripted(Nature::Copying, 2);
    let options = EngineOptions { context: Some(24), ..EngineOptions::default() };
    let mut engine = load(&backend, options).expect("a sound model");
    let sliding = |seed| GenerateOptions { when_full: ContextPolicy::Slide { keep: 2 }, ..sampled(seed, 100) };
    for seed in 0..5 {
        let plain = fresh(&mut engine, &PROMPT, sliding(seed));
        let quick = fresh(&mut engine, &PROMPT, with(Speculation::Lookup, sliding(seed)));
        assert_same(&quick, &plain);
        assert_eq!(quick.finish.dropped_tokens, plain.finish.dropped_tokens);
        let full = fresh(&mut engine, &PROMPT, sampled(seed, 100));
        assert_same(&fresh(&mut engine, &PROMPT, with(Speculation::Lookup, sampled(seed, 100))), &full);
    }
}

#[test]
fn a_draft_model_gives_the_plain_answer_whether_it_is_good_or_bad() {
    for (nature, good) in [(Nature::Copying, true), (Nature::Odd, false)] {
        let backend = scripted(Nature::Copying, 2);
        let mut engine = loaded(&backend);
        let sampling = Sampling { temperature: 0.6, top_k: 5, ..sampled(3, 0).sampling };
        for options in [greedy(45), sampled(3, 45), GenerateOptions { sampling, ..sampled(3, 45) }] {
            let plain = fresh(&mut engine, &PROMPT, options.clone());
            engine.attach_draft(loaded(&scripted(nature, 2))).expect("the same vocabulary");
            backend.seen.take_read();
            let quick = fresh(&mut engine, &PROMPT, with(Speculation::Draft, options));
            assert_same(&quick, &plain);
            let finish = &quick.finish;
            let share = finish.accepted_tokens as f64 / finish.drafted_tokens as f64;
            assert_eq!(good, share > 0.9, "{finish:?}");
            if !good {
                assert!(finish.drafted_tokens < 20, "it was given up soon: {finish:?}");
            }
        }
    }
}

#[test]
fn a_draft_with_another_vocabulary_or_none_is_refused() {
    let backend = scripted(Nature::Wild, 1);
    let mut engine = loaded(&backend);
    let other = Tiny { extra_tokens: 0, architecture: "qwen2", biases: true, ..Tiny::default() }.file();
    let mut progress = |_, _| ControlFlow::Continue(());
    let same = pollster::block_on(Engine::load(&other, &backend, EngineOptions::default(), &mut progress));
    engine.attach_draft(same.expect("a sound model")).expect("the vocabulary is what counts");
    engine.detach_draft();
    let mut session = engine.create_session().expect("room for a session");
    let error = engine.generate(&mut session, &PROMPT, with(Speculation::Draft, greedy(3))).err();
    let error = error.expect("no draft is attached");
    assert!(matches!(error, EngineError::Option { option: "speculation", .. }), "{error}");
}

#[test]
fn a_draft_that_fails_is_done_without_and_a_lost_device_is_survived() {
    let draft = Frail::new(scripted(Nature::Copying, 2));
    for lost_at in 0..12 {
        let mut engine = loaded(&scripted(Nature::Copying, 2));
        let plain = fresh(&mut engine, &PROMPT, sampled(1, 40));
        engine.attach_draft(load(&draft, EngineOptions::default()).expect("a sound model")).expect("the same");
        draft.fate.lose_after(lost_at);
        assert_same(&fresh(&mut engine, &PROMPT, with(Speculation::Draft, sampled(1, 40))), &plain);
        draft.fate.relent();
    }
    let plain = fresh(&mut loaded(&scripted(Nature::Copying, 2)), &PROMPT, sampled(1, 40));
    for lost_at in 0..30 {
        let backend = Frail::new(scripted(Nature::Copying, 2));
        let mut engine = load(&backend, EngineOptions::default()).expect("a sound model");
        let mut session = engine.create_session().expect("room for a session");
        let options = with(Speculation::Lookup, sampled(1, 40));
        let mut generation = engine.generate(&mut session, &PROMPT, options).expect("sound options");
        backend.fate.lose_after(lost_at);
        let quick = support::finish_recovering(&mut generation, &backend, || {});
        assert_same(&quick, &plain);
    }
}
