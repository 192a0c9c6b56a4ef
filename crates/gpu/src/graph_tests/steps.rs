//! Steps in one conversation and in several.

use nearside_engine::backend::{BackendError, CacheId, Executor, ExecutorOptions, Step, StepInput, Ticket, Want};

use super::{CLOSE, GREEDY, OPTIONS, RANDOM, choices, chosen, executor, load_with, logits, model, submit};
use crate::adapter::Tuning;
use crate::kernels::tiles::{self, Tiles};
use crate::plan::FEW;
use crate::small_model::Plain;
use crate::testing::{Gpu, close, each_gpu};

#[test]
fn every_operation_together_equals_the_plain_functions() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let caches = [executor.create_cache().expect("room"), executor.create_cache().expect("room")];
        let mut plain = [Plain::new(&model, OPTIONS.cache), Plain::new(&model, OPTIONS.cache)];
        // Two conversations in turn; the last step of each goes back and overwrites.
        for (which, position, tokens) in [
            (0, 0, &[5, 74, 0][..]),
            (1, 0, &[9]),
            (0, 3, &[1, 2, 3, 4, 5, 6]),
            (0, 9, &[33]),
            (1, 1, &[44, 45]),
            (0, 4, &[7, 8]),
            (1, 1, &[10]),
        ] {
            let found = logits(&mut executor, caches[which], position, tokens);
            let expected = plain[which].step(position, tokens);
            close(&found, &expected, CLOSE, &format!("conversation {which} at {position}"));
        }
    });
}

#[test]
fn weights_held_as_halves_lose_little() {
    let model = model();
    each_gpu(|gpu| {
        if !gpu.facts.f16 {
            return;
        }
        let tuning = Tuning { tiles: Some(Tiles::only(tiles::HALVES)), ..gpu.tuning };
        // More rows than go without tiles.
        let options = ExecutorOptions { batch: FEW + 1, ..OPTIONS };
        let mut executor = load_with(&Gpu { tuning, ..gpu.clone() }, &model, options);
        let cache = executor.create_cache().expect("room");
        let tokens: Vec<u32> = (0..=FEW as u32).map(|row| row * 31 % 75).collect();
        let expected = Plain::new(&model, OPTIONS.cache).step(0, &tokens);
        // Of each weight eleven bits are left, and what they change can change how inputs are rounded.
        close(&logits(&mut executor, cache, 0, &tokens), &expected, 1e-1, "halves");
    });
}

#[test]
fn packed_inputs_are_shared_by_their_products() {
    let model = model();
    each_gpu(|gpu| {
        let options = ExecutorOptions { batch: FEW + 1, ..OPTIONS };
        let tokens: Vec<u32> = (0..=FEW as u32).map(|row| row * 31 % 75).collect();
        let expected = Plain::new(&model, OPTIONS.cache).step(0, &tokens);
        let dispatches = |tiles| {
            let tuning = Tuning { tiles, ..gpu.tuning };
            let mut executor = load_with(&Gpu { tuning, ..gpu.clone() }, &model, options);
            let cache = executor.create_cache().expect("room");
            close(&logits(&mut executor, cache, 0, &tokens), &expected, CLOSE, &format!("{tiles:?}"));
            executor.counters().dispatches
        };
        let without = dispatches(None);
        for tile in [tiles::WIDE, tiles::PACKED_SMALL] {
            if !tile.packed() || gpu.facts.packed_dots {
                // In each layer: the norm's output for two kinds of formats, the heads, what is gated, once for both
                // of its products, and the product of that.
                assert_eq!(dispatches(Some(Tiles::only(tile))) - without, 2 * 5, "{tile}");
            }
        }
    });
}

#[test]
fn few_and_many_rows_take_other_kernels_on_a_gpu() {
    let model = model();
    each_gpu(|gpu| {
        // As if it were no program on the CPU, and one that is best with packed integers where it has them.
        let packed = gpu.facts.packed_dots && gpu.facts.f16;
        let gpu = Gpu { tuning: Tuning { packed, ..Tuning::new(&gpu.facts, false) }, ..gpu.clone() };
        let options = ExecutorOptions { batch: 20, ..OPTIONS };
        let mut executor = load_with(&gpu, &model, options);
        let cache = executor.create_cache().expect("room");
        let mut plain = Plain::new(&model, OPTIONS.cache);
        let mut position = 0;
        for rows in [2, 17, 1, 16, 3] {
            let tokens: Vec<u32> = (0..rows).map(|row| (position as u32 + row * 7) % 75).collect();
            let found = logits(&mut executor, cache, position, &tokens);
            close(&found, &plain.step(position, &tokens), CLOSE, &format!("{rows} rows at {position}"));
            position += tokens.len();
        }
    });
}

#[test]
fn sampled_tokens_feed_the_next_step_on_the_device() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let mut plain = Plain::new(&model, OPTIONS.cache);
        let mut expected = plain.step(0, &[3, 4]);
        let mut tickets = vec![submit(&mut executor, cache, 0, StepInput::Tokens(&[3, 4]), Want::Sample(&[RANDOM], 5))];
        tickets.push(submit(&mut executor, cache, 2, StepInput::Sampled, Want::Sample(&[GREEDY], 2)));
        tickets.push(submit(&mut executor, cache, 3, StepInput::Sampled, Want::Sample(&[RANDOM], 2)));
        for (index, ticket) in tickets.into_iter().enumerate() {
            let found = choices(&mut executor, ticket);
            let [choice] = found.as_slice() else { panic!("one choice") };
            assert_eq!(choice.candidates.len(), if index == 0 { 5 } else { 2 });
            chosen(choice, &expected, if index == 1 { &GREEDY } else { &RANDOM }, "a step");
            let token = choice.token;
            expected = plain.step(2 + index, &[token]);
        }
    });
}

#[test]
fn dropped_tickets_neither_block_nor_leak() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let mut first = None;
        for position in 0..10 {
            let ticket = submit(&mut executor, cache, position, StepInput::Tokens(&[1]), Want::Sample(&[GREEDY], 2));
            first.get_or_insert(ticket);
        }
        let ticket = submit(&mut executor, cache, 10, StepInput::Sampled, Want::Sample(&[GREEDY], 2));
        // A future that is dropped halfway loses nothing either.
        drop(executor.collect(Ticket(ticket.0)));
        let output = pollster::block_on(executor.collect(ticket)).expect("a result");
        assert_eq!(output.choices[0].candidates.len(), 2);
        let late = pollster::block_on(executor.collect(first.expect("the first ticket")));
        assert!(matches!(late, Err(BackendError::InvalidStep { .. })), "{late:?}");
        assert_eq!(executor.counters().late_resources, 0);
        executor.create_cache().expect("room");
        assert!(executor.counters().late_resources > 0);
    });
}

#[test]
fn steps_that_break_the_contract_are_refused() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let mut refused = |cache, position, input| {
            let result = executor.submit(Step { cache, position, input, want: Want::Nothing });
            assert!(matches!(result, Err(BackendError::InvalidStep { .. })), "{result:?}");
        };
        refused(CacheId(7), 0, StepInput::Tokens(&[1]));
        refused(cache, 0, StepInput::Tokens(&[]));
        refused(cache, 0, StepInput::Tokens(&[1; 7]));
        refused(cache, 0, StepInput::Tokens(&[75]));
        refused(cache, 3, StepInput::Tokens(&[1]));
        refused(cache, usize::MAX, StepInput::Tokens(&[1]));
        refused(cache, 0, StepInput::Sampled);
        for position in (0..36).step_by(6) {
            submit(&mut executor, cache, position, StepInput::Tokens(&[1; 6]), Want::Nothing);
        }
        let result =
            executor.submit(Step { cache, position: 36, input: StepInput::Tokens(&[1; 5]), want: Want::Nothing });
        assert!(matches!(result, Err(BackendError::InvalidStep { .. })), "{result:?}");
        executor.drop_cache(cache);
        executor.drop_cache(cache);
        let result = executor.submit(Step { cache, position: 0, input: StepInput::Tokens(&[1]), want: Want::Nothing });
        assert!(matches!(result, Err(BackendError::InvalidStep { .. })), "{result:?}");
    });
}
