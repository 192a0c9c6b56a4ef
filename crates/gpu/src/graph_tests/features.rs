//! What a step can do beyond choosing one token.

use nearside_engine::backend::{
    BackendError, CacheFormat, Executor, ExecutorOptions, HeldChoice, LogitChange, SampleRule, StepInput, Want,
};
use nearside_engine::sampling;

use super::{CLOSE, GREEDY, OPTIONS, RANDOM, choices, chosen, executor, load_with, logits, model, model_with, submit};
use crate::small_model::Plain;
use crate::testing::{close, each_gpu};

#[test]
fn the_last_rows_are_chosen_for_each_by_its_rule() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let mut plain = Plain::new(&model, OPTIONS.cache);
        let tokens = [8, 1, 60, 2, 3];
        let rules = [RANDOM, GREEDY, SampleRule { draw: 0.1, ..RANDOM }];
        let ticket = submit(&mut executor, cache, 0, StepInput::Tokens(&tokens), Want::Sample(&rules, 4));
        let next = submit(&mut executor, cache, 5, StepInput::Sampled, Want::Sample(&[GREEDY], 2));
        let found = choices(&mut executor, ticket);
        assert_eq!(found.len(), 3);
        for ((choice, logits), rule) in found.iter().zip(plain.rows(0, &tokens, 3)).zip(&rules) {
            assert_eq!(choice.candidates.len(), 4);
            chosen(choice, &logits, rule, "one of three");
        }
        // The step after took the last row's token.
        let expected = plain.step(5, &[found[2].token]);
        chosen(&choices(&mut executor, next)[0], &expected, &GREEDY, "the step after");
        let mut refused = |rules: &[SampleRule], tokens: &[u32]| {
            let step = nearside_engine::backend::Step {
                cache,
                position: 0,
                input: StepInput::Tokens(tokens),
                want: Want::Sample(rules, 2),
            };
            matches!(executor.submit(step), Err(BackendError::InvalidStep { .. }))
        };
        assert!(refused(&[], &[1]) && refused(&[GREEDY; 2], &[1]) && refused(&[GREEDY; 5], &[1; 6]));
    });
}

/// What changes, what is allowed, and the rule.
type Case<'a> = (&'a [LogitChange], Option<&'a [u32]>, SampleRule);

#[test]
fn held_logits_change_before_they_are_chosen_from() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let mut plain = Plain::new(&model, OPTIONS.cache);
        let change = |token, divisor, bias| LogitChange { token, divisor, bias };
        let few = [change(4, 1.5, 0.0), change(70, 2.0, -1.0), change(33, 1.0, 6.0)];
        // More than one dispatch holds; those that name no token change nothing.
        let mut many = few.to_vec();
        many.extend((0..500).map(|index| change(1000 + index, 1.0, 50.0)));
        many.push(change(11, 1.0, 7.0));
        let some = [0xffff_0000, 0x0000_00ff, 1 << 10];
        let one = [0, 1 << 4];
        let cases: [Case<'_>; 6] = [
            (&[], None, RANDOM),
            (&few, None, GREEDY),
            (&few, Some(&some), RANDOM),
            (&[], Some(&one), SampleRule { temperature: 2.0, top_k: 0, top_p: 1.0, min_p: 0.0, draw: 0.99 }),
            (&many, None, GREEDY),
            (&many, Some(&some), GREEDY),
        ];
        let mut token = 9;
        for (position, (changes, allowed, rule)) in cases.into_iter().enumerate() {
            let before = executor.counters();
            let held = submit(&mut executor, cache, position, StepInput::Tokens(&[token]), Want::Hold);
            let choice = HeldChoice { rule, candidates: 5, changes, allowed };
            let ticket = executor.choose(choice).expect("logits are held");
            let again = executor.choose(choice);
            assert!(matches!(again, Err(BackendError::InvalidStep { .. })), "they are held for one choice");
            assert!(choices(&mut executor, held).is_empty());
            let found = choices(&mut executor, ticket);
            let mut expected = plain.step(position, &[token]);
            sampling::adjust(&mut expected, changes, allowed);
            chosen(&found[0], &expected, &rule, &format!("case {position}"));
            let best = sampling::top_candidates(&expected, 5);
            let infinite = |candidate: &nearside_engine::backend::Candidate| candidate.logit == f32::NEG_INFINITY;
            assert_eq!(
                found[0].candidates.iter().filter(|one| infinite(one)).count(),
                best.iter().filter(|one| infinite(one)).count()
            );
            if changes.len() < 75 {
                assert_eq!(executor.counters().submits - before.submits, 2);
            }
            token = found[0].token;
        }
        // A choice feeds the next step on the device.
        let _ = submit(&mut executor, cache, 6, StepInput::Tokens(&[token]), Want::Hold);
        let ticket = executor
            .choose(HeldChoice { rule: GREEDY, candidates: 2, changes: &few, allowed: Some(&some) })
            .expect("logits are held");
        let next = submit(&mut executor, cache, 7, StepInput::Sampled, Want::Sample(&[GREEDY], 2));
        let token = choices(&mut executor, ticket)[0].token;
        plain.step(6, &[7]);
        let mut expected = Plain::clone(&plain);
        drop(expected.step(6, &[token]));
        let found = choices(&mut executor, next);
        assert_eq!(found.len(), 1);
        let nothing = HeldChoice { rule: GREEDY, candidates: 2, changes: &[], allowed: None };
        assert!(matches!(executor.choose(nothing), Err(BackendError::InvalidStep { .. })));
        let _ = submit(&mut executor, cache, 8, StepInput::Tokens(&[1]), Want::Hold);
        let impossible = HeldChoice { allowed: Some(&[0, 0, 1 << 11]), ..nothing };
        assert!(matches!(executor.choose(impossible), Err(BackendError::InvalidStep { .. })));
    });
}

#[test]
fn hidden_states_of_all_rows_come_back() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let mut plain = Plain::new(&model, OPTIONS.cache);
        for (position, tokens) in [(0, &[3, 4, 5][..]), (3, &[6])] {
            let ticket = submit(&mut executor, cache, position, StepInput::Tokens(tokens), Want::Hidden);
            let found = pollster::block_on(executor.collect(ticket)).expect("a result").hidden;
            plain.step(position, tokens);
            close(&found, &plain.hidden(), CLOSE, "hidden states");
        }
    });
}

#[test]
fn a_fork_goes_its_own_way() {
    for (head_dim, format) in [(24, CacheFormat::F16), (64, CacheFormat::Q8_0)] {
        let model = model_with(head_dim);
        each_gpu(|gpu| {
            let mut executor = load_with(gpu, &model, ExecutorOptions { cache: format, ..OPTIONS });
            let cache = executor.create_cache().expect("room");
            let mut plain = Plain::new(&model, format);
            logits(&mut executor, cache, 0, &[5, 6, 7, 8]);
            plain.step(0, &[5, 6, 7, 8]);
            let fork = executor.fork_cache(cache, 3).expect("room");
            let mut forked = plain.clone();
            let found = logits(&mut executor, fork, 3, &[9, 10]);
            close(&found, &forked.step(3, &[9, 10]), 2e-2, "the fork");
            let found = logits(&mut executor, cache, 4, &[11]);
            close(&found, &plain.step(4, &[11]), 2e-2, "the first");
            assert!(matches!(executor.fork_cache(fork, 6), Err(BackendError::InvalidStep { .. })));
            executor.drop_cache(fork);
            assert!(matches!(executor.fork_cache(fork, 1), Err(BackendError::InvalidStep { .. })));
            assert!(executor.fork_cache(cache, 0).is_ok());
        });
    }
}

#[test]
fn caches_in_eight_bits_equal_the_plain_functions() {
    let model = model_with(64);
    each_gpu(|gpu| {
        let options = ExecutorOptions { cache: CacheFormat::Q8_0, ..OPTIONS };
        let mut executor = load_with(gpu, &model, options);
        assert_eq!(executor.options().cache, CacheFormat::Q8_0);
        let cache = executor.create_cache().expect("room");
        let mut plain = Plain::new(&model, CacheFormat::Q8_0);
        for (position, tokens) in [(0, &[5, 74, 0, 1][..]), (4, &[9]), (5, &[33, 2]), (3, &[8])] {
            let found = logits(&mut executor, cache, position, tokens);
            // A code that rounds the other way moves a value by a hundredth of the largest.
            close(&found, &plain.step(position, tokens), 2e-2, &format!("at {position}"));
        }
    });
    // Heads that do not divide into blocks are kept as halves.
    let model = super::model();
    each_gpu(|gpu| {
        let options = ExecutorOptions { cache: CacheFormat::Q8_0, ..OPTIONS };
        assert_eq!(load_with(gpu, &model, options).options().cache, CacheFormat::F16);
    });
}

#[test]
fn what_is_not_used_costs_nothing() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let mut cost = |position, want| {
            let before = executor.counters();
            submit(&mut executor, cache, position, StepInput::Tokens(&[1]), want);
            let after = executor.counters();
            assert_eq!(after.late_resources, 0);
            assert_eq!((after.submits - before.submits, after.passes - before.passes), (1, 1));
            after.dispatches - before.dispatches
        };
        // Each layer: a norm, the products for the heads in two, attention and what puts it together, the
        // product after it, an addition, the gated products with their activation, and the product after
        // that. In front of them the embedding, and behind them the norm, the last row and the head.
        let operations = 1 + 2 * 9 + 3;
        assert_eq!(cost(0, Want::Sample(&[GREEDY], 2)), operations + 4);
        assert_eq!(cost(1, Want::Logits), operations);
        assert_eq!(cost(2, Want::Hold), operations);
        // What only fills the cache ends with the last layer's keys and values.
        assert_eq!(cost(3, Want::Nothing), 1 + 9 + 4);
    });
}
