//! Sessions, sampling and the ends of answers, on a tiny model.

#[path = "support/tiny.rs"]
mod tiny;

use std::ops::ControlFlow;

use nearside_cpu::CpuBackend;
use nearside_engine::sampling::{log_sum_exp, top_candidates};
use nearside_engine::{
    Engine, EngineError, EngineOptions, Event, Finish, FinishReason, GenerateOptions, GeneratedToken, Sampling, Session,
};
use tiny::{END, Tiny};

fn load(tiny: &Tiny, options: EngineOptions) -> Result<Engine, EngineError> {
    let mut progress = |_, _| ControlFlow::Continue(());
    pollster::block_on(Engine::load(&tiny.file(), &CpuBackend::new(), options, &mut progress))
}

fn engine() -> Engine {
    load(&Tiny::default(), EngineOptions::default()).expect("a sound model")
}

fn sampled(seed: u64, max_tokens: usize) -> GenerateOptions {
    let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed, ..Sampling::default() };
    GenerateOptions { sampling, max_tokens, ignore_end: true, ..GenerateOptions::default() }
}

/// What an answer consisted of.
struct Answer {
    tokens: Vec<GeneratedToken>,
    text: String,
    finish: Finish,
}

impl Answer {
    fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

fn answer(engine: &mut Engine, session: &mut Session, prompt: &[u32], options: GenerateOptions) -> Answer {
    pollster::block_on(async {
        let mut generation = engine.generate(session, prompt, options).expect("sound options");
        let (mut tokens, mut text, mut finish) = (Vec::new(), String::new(), None);
        while let Some(event) = generation.next().await.expect("the steps succeed") {
            match event {
                Event::Prefill { done, total } => assert!(done <= total),
                Event::Slid { .. } => panic!("nothing slides by itself"),
                Event::Token(token) => {
                    text.push_str(&token.text);
                    tokens.push(token);
                }
                Event::Finished(end) => {
                    text.push_str(&end.text_tail);
                    finish = Some(end);
                }
            }
        }
        Answer { tokens, text, finish: finish.expect("an answer ends with `Finished`") }
    })
}

fn fresh(engine: &mut Engine, prompt: &[u32], options: GenerateOptions) -> Answer {
    let mut session = engine.create_session().expect("room for a session");
    let answer = answer(engine, &mut session, prompt, options);
    engine.close_session(session);
    answer
}

#[test]
fn same_seed_same_tokens_and_other_seed_other_tokens() {
    let mut engine = engine();
    let first = fresh(&mut engine, &[1, 2, 3], sampled(7, 20)).ids();
    assert_eq!(first, fresh(&mut engine, &[1, 2, 3], sampled(7, 20)).ids());
    assert_ne!(first, fresh(&mut engine, &[1, 2, 3], sampled(8, 20)).ids());
    assert_eq!(first.len(), 20);
}

#[test]
fn a_reused_prefix_gives_the_tokens_of_a_fresh_session() {
    let mut engine = engine();
    let mut session = engine.create_session().expect("room for a session");
    let first = answer(&mut engine, &mut session, &[1, 2, 3, 4], sampled(1, 8));
    let mut prompt = vec![1, 2, 3, 4];
    prompt.extend(first.ids());
    prompt.extend([9, 10]);
    let second = answer(&mut engine, &mut session, &prompt, sampled(1, 8));
    assert_eq!(second.finish.reused_tokens, 4 + 7, "all that had been read");
    assert_eq!(second.ids(), fresh(&mut engine, &prompt, sampled(1, 8)).ids());
    // The conversation is edited early on: what followed is forgotten.
    let edited = answer(&mut engine, &mut session, &[1, 2, 5, 6, 7], sampled(1, 8));
    assert_eq!(edited.finish.reused_tokens, 2);
    assert_eq!(edited.ids(), fresh(&mut engine, &[1, 2, 5, 6, 7], sampled(1, 8)).ids());
    // The same prompt again: its last token runs once more.
    let again = answer(&mut engine, &mut session, &[1, 2, 5, 6, 7], sampled(1, 8));
    assert_eq!(again.finish.reused_tokens, 4);
    assert_eq!(again.ids(), edited.ids());
}

#[test]
fn batch_size_changes_nothing_that_is_chosen() {
    let prompt: Vec<u32> = (0..23).collect();
    let answers: Vec<_> = [1, 2, 7, 23, 64]
        .into_iter()
        .map(|batch| {
            let options = EngineOptions { batch: Some(batch), ..EngineOptions::default() };
            let mut engine = load(&Tiny::default(), options).expect("a sound model");
            fresh(&mut engine, &prompt, sampled(3, 10)).ids()
        })
        .collect();
    assert!(answers.iter().all(|ids| *ids == answers[0]), "{answers:?}");
}

#[test]
fn a_dropped_generation_leaves_a_usable_session() {
    let mut engine = engine();
    let expected = fresh(&mut engine, &[1, 2, 3, 4, 5], sampled(2, 6)).ids();
    for stop_after in 0..7 {
        let mut session = engine.create_session().expect("room for a session");
        pollster::block_on(async {
            let mut generation = engine.generate(&mut session, &[1, 2, 3, 9], sampled(5, 30)).expect("sound options");
            for _ in 0..stop_after {
                generation.next().await.expect("the steps succeed");
            }
        });
        let after = answer(&mut engine, &mut session, &[1, 2, 3, 4, 5], sampled(2, 6));
        assert_eq!(after.ids(), expected, "dropped after {stop_after} events");
        engine.close_session(session);
    }
}

#[test]
fn sessions_do_not_see_each_other() {
    let mut engine = engine();
    let expected = fresh(&mut engine, &[4, 5, 6, 7], sampled(2, 6)).ids();
    let mut one = engine.create_session().expect("room for a session");
    let mut other = engine.create_session().expect("room for a session");
    answer(&mut engine, &mut one, &[4, 5, 6], sampled(9, 3));
    answer(&mut engine, &mut other, &[11, 12, 13], sampled(9, 3));
    assert_eq!(answer(&mut engine, &mut one, &[4, 5, 6, 7], sampled(2, 6)).ids(), expected);
}

#[test]
fn an_answer_stops_before_a_stop_text_that_spans_tokens() {
    let mut engine = engine();
    let free = fresh(&mut engine, &[1, 2, 3], sampled(7, 20));
    // Letters are tokens, so three letters from the middle are three tokens.
    let start = (1..free.text.len() - 3)
        .find(|start| free.text.find(&free.text[*start..start + 3]) == Some(*start))
        .expect("some three letters come up for the first time");
    let stop = free.text[start..start + 3].to_owned();
    let options = GenerateOptions { stop: vec![stop.clone()], ..sampled(7, 20) };
    let stopped = fresh(&mut engine, &[1, 2, 3], options);
    assert_eq!(stopped.text, free.text[..start], "stopped before {stop:?} of {:?}", free.text);
    assert_eq!(stopped.finish.reason, FinishReason::Stop);
    assert!(stopped.finish.completion_tokens < free.finish.completion_tokens);
}

#[test]
fn an_end_token_ends_the_answer_unless_it_is_ignored() {
    let mut engine = engine();
    let seed = (0..200)
        .find(|seed| fresh(&mut engine, &[1, 2, 3], sampled(*seed, 20)).ids()[1..].contains(&END))
        .expect("some seed draws the end token");
    let ignored = fresh(&mut engine, &[1, 2, 3], sampled(seed, 20));
    assert_eq!(ignored.finish.reason, FinishReason::Length);
    assert_eq!(ignored.finish.completion_tokens, 20);
    let before: Vec<u32> = ignored.ids().into_iter().take_while(|id| *id != END).collect();
    let options = GenerateOptions { ignore_end: false, ..sampled(seed, 20) };
    let ended = fresh(&mut engine, &[1, 2, 3], options);
    assert_eq!(ended.finish.reason, FinishReason::Stop);
    assert_eq!(ended.ids(), before);
    assert_eq!(ended.finish.completion_tokens, before.len());
}

#[test]
fn an_answer_ends_where_the_context_does() {
    let options = EngineOptions { context: Some(8), ..EngineOptions::default() };
    let mut engine = load(&Tiny::default(), options).expect("a sound model");
    let full = fresh(&mut engine, &[1, 2, 3, 4, 5], sampled(1, 100));
    // Five are read, three more fit, and the last token needs no room because nobody reads it.
    assert_eq!(full.finish.reason, FinishReason::ContextFull);
    assert_eq!(full.finish.completion_tokens, 4);
    let brim = fresh(&mut engine, &[1; 8], sampled(1, 100));
    assert_eq!((brim.finish.reason, brim.finish.completion_tokens), (FinishReason::ContextFull, 1));
    let mut session = engine.create_session().expect("room for a session");
    let error = engine.generate(&mut session, &[1; 9], sampled(1, 1)).err().expect("too long a prompt");
    assert!(matches!(error, EngineError::PromptTooLong { tokens: 9, context: 8 }), "{error}");
}

#[test]
fn probabilities_and_margin_are_those_of_the_logits() {
    let mut engine = engine();
    let mut session = engine.create_session().expect("room for a session");
    let options = GenerateOptions { top_logprobs: 3, ..sampled(4, 5) };
    let answered = answer(&mut engine, &mut session, &[1, 2, 3], options);
    let mut known = vec![1, 2, 3];
    for token in &answered.tokens {
        let logits = pollster::block_on(engine.next_logits(&mut session, &known)).expect("the steps succeed");
        let best = top_candidates(&logits, 3);
        let total = log_sum_exp(&logits);
        assert!((token.margin - (best[0].logit - best[1].logit)).abs() < 1e-4);
        assert!((token.log_probability - (logits[token.id as usize] - total)).abs() < 1e-4);
        for ((id, log_probability), expected) in token.top.iter().zip(&best) {
            assert_eq!(*id, expected.token);
            assert!((log_probability - (expected.logit - total)).abs() < 1e-4);
        }
        known.push(token.id);
    }
}

#[test]
fn nothing_is_generated_when_nothing_is_asked_for() {
    let mut engine = engine();
    let none = fresh(&mut engine, &[1, 2, 3], sampled(1, 0));
    assert_eq!((none.finish.reason, none.finish.completion_tokens), (FinishReason::Length, 0));
}

#[test]
fn senseless_requests_are_refused_and_harm_nothing() {
    let mut engine = engine();
    let mut session = engine.create_session().expect("room for a session");
    let refused = |engine: &mut Engine, session: &mut Session, prompt: &[u32], options: GenerateOptions| {
        engine.generate(session, prompt, options).err().expect("a refusal").to_string()
    };
    refused(&mut engine, &mut session, &[], sampled(1, 1));
    assert!(refused(&mut engine, &mut session, &[500], sampled(1, 1)).contains("500"));
    let mut options = sampled(1, 1);
    options.sampling.temperature = f32::NAN;
    assert!(refused(&mut engine, &mut session, &[1], options).contains("temperature"));
    let mut options = sampled(1, 1);
    options.sampling.top_p = 1.5;
    assert!(refused(&mut engine, &mut session, &[1], options).contains("top_p"));
    let options = GenerateOptions { stop: vec![String::new()], ..sampled(1, 1) };
    assert!(refused(&mut engine, &mut session, &[1], options).contains("stop"));
    let mut other = self::engine();
    assert!(refused(&mut other, &mut session, &[1], sampled(1, 1)).contains("another engine"));
    assert_eq!(answer(&mut engine, &mut session, &[1], sampled(1, 3)).ids().len(), 3);
}

#[test]
fn every_shape_of_the_family_runs() {
    for architecture in ["llama", "qwen2"] {
        for (heads, kv_heads) in [(4, 4), (4, 2), (4, 1)] {
            for own_head in [false, true] {
                let tiny = Tiny {
                    architecture,
                    heads,
                    kv_heads,
                    own_head,
                    biases: architecture == "qwen2",
                    ..Tiny::default()
                };
                let mut engine = load(&tiny, EngineOptions::default()).expect("a sound model");
                assert_eq!(engine.info().architecture, architecture);
                let long = fresh(&mut engine, &[1, 2, 3], sampled(7, 12));
                assert_eq!(long.ids().len(), 12);
            }
        }
    }
}

#[test]
fn a_file_that_contradicts_itself_is_refused_by_name() {
    let refusal = |tiny: Tiny| load(&tiny, EngineOptions::default()).err().expect("a refusal").to_string();
    let damaged = |name, shape| refusal(Tiny { damage: Some((name, shape)), ..Tiny::default() });
    for name in ["token_embd.weight", "output_norm.weight", "blk.1.ffn_down.weight"] {
        assert!(damaged(name, None).contains(name));
        assert!(damaged(name, Some([16, 3])).contains(name));
    }
    let unknown = refusal(Tiny { architecture: "mamba", ..Tiny::default() });
    assert!(unknown.contains("`mamba`") && unknown.contains("`llama`"), "{unknown}");
    let extra = refusal(Tiny { extra_tokens: 5, ..Tiny::default() });
    assert!(extra.contains("32") && extra.contains("27"), "{extra}");
    // A bias that the file has is used, and one of the wrong length is refused, in any architecture.
    let biased = Tiny { biases: true, damage: Some(("blk.0.attn_k.bias", Some([3, 1]))), ..Tiny::default() };
    assert!(refusal(biased).contains("attn_k.bias"));
}

#[test]
fn loading_reports_progress_and_can_be_cancelled() {
    let file = Tiny::default().file();
    let mut seen = Vec::new();
    let mut progress = |done, total| {
        seen.push((done, total));
        ControlFlow::Continue(())
    };
    pollster::block_on(Engine::load(&file, &CpuBackend::new(), EngineOptions::default(), &mut progress))
        .map(|_| ())
        .expect("a sound model");
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(seen.last().map(|(done, total)| done == total), Some(true));
    let mut cancel = |_, _| ControlFlow::Break(());
    let error = pollster::block_on(Engine::load(&file, &CpuBackend::new(), EngineOptions::default(), &mut cancel))
        .err()
        .expect("a cancelled load");
    assert_eq!(error.to_string(), "cancelled");
}
