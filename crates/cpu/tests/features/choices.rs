//! Several choices a step, held choices and hidden states.

use nearside_engine::backend::{BackendError, Choice, HeldChoice, LogitChange, SampleRule, Step, StepInput, Want};
use nearside_engine::sampling::{adjust, log_sum_exp, top_candidates};
use nearside_gguf::Gguf;

use super::tiny::Tiny;
use super::{GREEDY, Loaded, OPTIONS, difference, letters};

fn rule(draw: f32) -> SampleRule {
    SampleRule { temperature: 2.0, draw, ..GREEDY }
}

fn assert_same(left: &Choice, right: &Choice) {
    assert_eq!(left.token, right.token);
    assert!((left.log_sum_exp - right.log_sum_exp).abs() < 1e-4);
    for (left, right) in left.candidates.iter().zip(&right.candidates) {
        assert!(left.token == right.token && (left.logit - right.logit).abs() < 1e-4, "{left:?} {right:?}");
    }
    assert_eq!(left.candidates.len(), right.candidates.len());
}

#[test]
fn several_rules_choose_what_single_steps_choose() {
    let mut loaded = Loaded::new();
    let tokens = letters(90);
    let (past, draft) = tokens.split_at(80);
    let rules: Vec<SampleRule> = [0.1, 0.9, 0.5, 0.0, 0.3].into_iter().map(rule).collect();
    loaded.fill(loaded.cache, past, 48);
    let together = loaded.run(loaded.cache, 80, draft, Want::Sample(&rules, 4)).choices;
    assert_eq!(together.len(), rules.len());
    loaded.fill(loaded.cache, &tokens[..85], 48);
    for (index, rule) in rules.iter().enumerate() {
        let position = 85 + index;
        let alone = loaded.run(loaded.cache, position, &tokens[position..=position], Want::Sample(&[*rule], 4)).choices;
        assert_same(&together[index], &alone[0]);
    }
    // The last row's choice is the one that is fed back.
    let together = loaded.run(loaded.cache, 80, draft, Want::Sample(&rules, 4)).choices;
    let fed = Step { cache: loaded.cache, position: 90, input: StepInput::Sampled, want: Want::Logits };
    let fed = loaded.try_run(fed).expect("a step after one that chose").logits;
    let told = loaded.run(loaded.cache, 90, &[together[4].token], Want::Logits).logits;
    assert!(difference(&fed, &told) < 1e-6);
}

#[test]
fn more_rules_than_rows_or_room_are_refused() {
    let mut loaded = Loaded::new();
    let rules = [GREEDY; 9];
    for (rows, rules) in [(2, &rules[..3]), (12, &rules[..9]), (3, &rules[..0])] {
        let tokens = letters(rows);
        let want = Want::Sample(rules, 4);
        let step = Step { cache: loaded.cache, position: 0, input: StepInput::Tokens(&tokens), want };
        let error = loaded.try_run(step).expect_err("too many rules or none");
        assert!(matches!(error, BackendError::InvalidStep { .. }), "{error}");
    }
}

#[test]
fn holding_and_choosing_is_sampling() {
    let mut loaded = Loaded::new();
    let tokens = letters(20);
    for draw in [0.0, 0.4, 0.99] {
        let sampled = loaded.run(loaded.cache, 0, &tokens, Want::Sample(&[rule(draw)], 5));
        assert_eq!(loaded.run(loaded.cache, 0, &tokens, Want::Hold).choices, []);
        let choice = HeldChoice { rule: rule(draw), candidates: 5, changes: &[], allowed: None };
        assert_eq!(loaded.choose(choice).expect("held logits"), sampled);
        // What was chosen is fed back.
        let fed = Step { cache: loaded.cache, position: 20, input: StepInput::Sampled, want: Want::Logits };
        let fed = loaded.try_run(fed).expect("a step after a choice").logits;
        let told = loaded.run(loaded.cache, 20, &[sampled.choices[0].token], Want::Logits).logits;
        assert!(difference(&fed, &told) < 1e-6);
        loaded.choose(choice).expect_err("nothing is held");
    }
    let choice = HeldChoice { rule: GREEDY, candidates: 5, changes: &[], allowed: None };
    loaded.run(loaded.cache, 0, &tokens, Want::Hold);
    loaded.choose(choice).expect("held logits");
    loaded.choose(choice).expect_err("held logits are chosen from once");
    loaded.run(loaded.cache, 0, &tokens, Want::Hold);
    loaded.run(loaded.cache, 0, &tokens, Want::Nothing);
    loaded.choose(choice).expect_err("another step came between");
}

#[test]
fn changes_and_masks_reach_candidates_choice_and_sum() {
    let mut loaded = Loaded::new();
    let tokens = letters(30);
    let mut logits = loaded.run(loaded.cache, 0, &tokens, Want::Logits).logits;
    let changes = [
        LogitChange { token: 3, divisor: 1.5, bias: 0.0 },
        LogitChange { token: 7, divisor: 1.0, bias: 4.0 },
        LogitChange { token: 20, divisor: 2.0, bias: -1.0 },
    ];
    let allowed = [0b101_0110_1101_1000_1010_1001_1000u32];
    adjust(&mut logits, &changes, Some(&allowed));
    for step in 0..50 {
        let draw = step as f32 / 50.0;
        loaded.run(loaded.cache, 0, &tokens, Want::Hold);
        let choice = HeldChoice { rule: rule(draw), candidates: 27, changes: &changes, allowed: Some(&allowed) };
        let choice = loaded.choose(choice).expect("held logits").choices.remove(0);
        assert_ne!(allowed[0] >> choice.token & 1, 0, "token {} is not allowed", choice.token);
        let expected: Vec<_> = top_candidates(&logits, 27).iter().map(|candidate| candidate.token).collect();
        assert_eq!(choice.candidates.iter().map(|candidate| candidate.token).collect::<Vec<_>>(), expected);
        assert!((choice.log_sum_exp - log_sum_exp(&logits)).abs() < 1e-4);
    }
    loaded.run(loaded.cache, 0, &tokens, Want::Hold);
    let none = HeldChoice { rule: rule(0.5), candidates: 2, changes: &[], allowed: Some(&[0]) };
    let error = loaded.choose(none).expect_err("no token is allowed");
    assert!(matches!(error, BackendError::InvalidStep { .. }), "{error}");
}

#[test]
fn hidden_states_are_what_the_logits_are_made_of() {
    let bytes = Tiny::default().file();
    let mut loaded = Loaded::from_file(&bytes, OPTIONS);
    let tokens = letters(40);
    let hidden = loaded.run(loaded.cache, 0, &tokens, Want::Hidden).hidden;
    let width = loaded.graph.slots[loaded.graph.hidden.0];
    assert_eq!(hidden.len(), tokens.len() * width);
    let gguf = Gguf::read(&bytes).expect("a sound file");
    let table = gguf.tensor("token_embd.weight").expect("it was written");
    let table = &bytes.0[table.offset as usize..][..table.size as usize];
    let table: Vec<f32> = table.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    for row in [0, 17, 39] {
        let logits = loaded.logits_after(&tokens[..=row]);
        let hidden = &hidden[row * width..][..width];
        let by_hand: Vec<f32> = table
            .chunks_exact(width)
            .map(|embedding| embedding.iter().zip(hidden).map(|(left, right)| left * right).sum())
            .collect();
        assert!(difference(&logits, &by_hand) < 1e-3, "row {row}");
    }
}
