//! What loading and a step ask of the device, and how a step's time is told apart.

use std::time::{Duration, Instant};

use nearside_engine::backend::{Executor, StepInput, Want};
use nearside_gguf::{Gguf, Metadata};

use super::{GREEDY, OPTIONS, choices, executor, model, submit};
use crate::load::Begun;
use crate::pipelines::Pipelines;
use crate::testing::{Gpu, each_gpu};

#[test]
fn pipelines_are_asked_for_before_the_first_weight_is_read_and_none_is_later() {
    let model = model();
    each_gpu(|gpu| {
        let fresh = || Gpu { pipelines: Pipelines::default(), ..gpu.clone() };
        let gpu = fresh();
        let mut executor = executor(&gpu, &model);
        let all = gpu.pipelines.count();
        // The first conversation finds everything there, its cache included.
        let cache = executor.create_cache().expect("room");
        let want = Want::Sample(&[GREEDY], 2);
        let prompt = submit(&mut executor, cache, 0, StepInput::Tokens(&[1, 2, 3]), want);
        let token = submit(&mut executor, cache, 3, StepInput::Sampled, want);
        choices(&mut executor, prompt);
        choices(&mut executor, token);
        assert_eq!((gpu.pipelines.count(), executor.counters().late_resources), (all, 0));
        // Steps that warm up are nobody's.
        assert_eq!(executor.counters().steps, 2);
        // A load that has begun, and read no weight, asks for all of them.
        let gpu = fresh();
        let gguf = Gguf::new(3, Metadata::default(), model.tensors.clone());
        let begun = pollster::block_on(Begun::new(&gpu, &model.graph, &gguf, OPTIONS)).expect("room");
        let started = Instant::now();
        while gpu.pipelines.count() < all {
            assert!(started.elapsed() < Duration::from_mins(2), "{} of {all}", gpu.pipelines.count());
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(begun);
    });
}

#[test]
fn a_decoded_token_is_one_submit_of_one_pass_and_nobody_waits_for_it() {
    let model = model();
    // What a token reads: a row of the embedding, then everything, the embedding's table as the output head.
    let row = model.tensors[0].size / model.tensors[0].dimensions[1];
    let stored = model.tensors.iter().map(|tensor| tensor.size).sum::<u64>() + row;
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let want = Want::Sample(&[GREEDY], 2);
        let mut before = submit(&mut executor, cache, 0, StepInput::Tokens(&[1, 2, 3]), want);
        let start = executor.counters();
        for position in 3..11 {
            let next = submit(&mut executor, cache, position, StepInput::Sampled, want);
            choices(&mut executor, before);
            before = next;
        }
        let end = executor.counters();
        let steps = end.steps - start.steps;
        assert_eq!(steps, 8);
        assert_eq!((end.submits - start.submits, end.passes - start.passes), (steps, steps));
        assert_eq!((end.blocking_syncs - start.blocking_syncs, end.late_resources), (0, 0));
        let ratio = (end.weight_bytes_read - start.weight_bytes_read) as f64 / (steps * stored) as f64;
        // Rows come in groups of sixteen, which shows in a vocabulary of 75.
        assert!((1.0..1.07).contains(&ratio), "{ratio} times the stored bytes are read");
        // The last one is waited for with nothing behind it.
        choices(&mut executor, before);
        assert_eq!(executor.counters().blocking_syncs - start.blocking_syncs, 1);
    });
}

#[test]
fn every_dispatch_has_its_time_and_its_part_of_the_whole() {
    let model = model();
    each_gpu(|gpu| {
        if !gpu.facts.timestamp_queries {
            eprintln!("skipped: {} has no timestamp queries", gpu.facts.name);
            return;
        }
        let mut executor = executor(gpu, &model);
        let prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let times = pollster::block_on(executor.time_kernels(&prompt, 3)).expect("the kernels run");
        assert!(times.copy.bytes > 0 && times.copy.microseconds > 0.0, "{:?}", times.copy);
        assert_eq!((times.decode.rows, times.decode.position), (1, 9));
        assert_eq!((times.prefill.rows, times.prefill.position), (6, 0));
        for step in [&times.decode, &times.prefill] {
            assert_eq!(step.kernels.iter().map(|kernel| kernel.count).sum::<usize>(), step.dispatches);
            assert!(step.microseconds > 0.0);
            for kernel in &step.kernels {
                assert!(kernel.microseconds >= 0.0, "{kernel:?}");
                assert_eq!(kernel.copy_microseconds.is_some(), kernel.products > 0, "{kernel:?}");
            }
        }
        // As many dispatches as a step of the same kind has, and as many bytes of weights.
        let cache = executor.create_cache().expect("room");
        for (step, tokens) in [(&times.decode, &[1][..]), (&times.prefill, &[1, 2, 3, 4, 5, 6])] {
            let before = executor.counters();
            submit(&mut executor, cache, 0, StepInput::Tokens(tokens), Want::Sample(&[GREEDY], 2));
            let after = executor.counters();
            assert_eq!(after.dispatches - before.dispatches, step.dispatches as u64);
            let bytes: u64 = step.kernels.iter().map(|kernel| kernel.weight_bytes * kernel.count as u64).sum();
            assert_eq!(after.weight_bytes_read - before.weight_bytes_read, bytes);
        }
        let head = step_kernel(&times.decode, "75x256 Q6_K");
        assert_eq!((head.count, head.products), (1, 75 * 256));
        assert_eq!(step_kernel(&times.prefill, "256x96 Q4_0").products, 256 * 96 * 6);
    });
}

fn step_kernel<'a>(step: &'a crate::profile::StepTimes, shape: &str) -> &'a crate::profile::KernelTime {
    let found = step.kernels.iter().find(|kernel| kernel.shape == shape && kernel.products > 0);
    found.unwrap_or_else(|| panic!("no {shape} in {:?}", step.kernels))
}
