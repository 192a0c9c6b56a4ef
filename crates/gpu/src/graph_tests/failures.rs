//! What goes wrong says so, and leaves nothing behind.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use nearside_engine::backend::{BackendError, Executor, ExecutorOptions, Step, StepInput, Want, WeightFile};
use nearside_gguf::{ByteSource, Gguf, Metadata, TensorInfo};

use super::{CLOSE, GREEDY, HEAD_DIM, OPTIONS, executor, logits, model, submit, try_load};
use crate::adapter::Gpu;
use crate::load::load;
use crate::small_model::Plain;
use crate::testing::{close, counted, each_gpu, each_new_gpu};

#[test]
fn what_the_file_lacks_is_named() {
    let sound = model();
    each_gpu(|gpu| {
        let fails = |change: &dyn Fn(&mut Vec<TensorInfo>)| {
            let mut tensors = sound.tensors.clone();
            change(&mut tensors);
            let result = try_load(gpu, &sound, tensors, OPTIONS, ControlFlow::Continue(()));
            result.err().expect("an unsound file").to_string()
        };
        assert!(fails(&|tensors| drop(tensors.remove(2))).contains("`weight.2`"));
        assert!(fails(&|tensors| tensors[2].dimensions[1] += 1).contains("expected 96 by 256"));
        assert!(fails(&|tensors| tensors[0].offset = sound.bytes.len() as u64).contains("beyond the end"));
        let result = try_load(gpu, &sound, sound.tensors.clone(), OPTIONS, ControlFlow::Break(()));
        assert_eq!(result.err(), Some(BackendError::Cancelled));
    });
}

/// Fails unless the next calls say that the device is gone.
fn gone(executor: &mut impl Executor, step: Step<'_>) {
    for _ in 0..2 {
        let result = match executor.submit(step) {
            Ok(ticket) => pollster::block_on(executor.collect(ticket)).map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(matches!(result, Err(BackendError::DeviceLost { .. })), "{result:?}");
    }
    let made = executor.create_cache();
    assert!(matches!(made, Err(BackendError::DeviceLost { .. })), "{made:?}");
}

#[test]
fn a_device_lost_during_a_load_ends_it() {
    let model = model();
    each_new_gpu(|gpu| {
        let gguf = Gguf::new(3, Metadata::default(), model.tensors.clone());
        let file = WeightFile { gguf: &gguf, bytes: &model.bytes as &dyn ByteSource };
        let mut reports = 0;
        let mut progress = |_, _| {
            reports += 1;
            if reports == 5 {
                gpu.device.destroy();
            }
            ControlFlow::Continue(())
        };
        let result = pollster::block_on(load(gpu, &model.graph, file, OPTIONS, &mut progress)).err();
        assert!(matches!(result, Some(BackendError::DeviceLost { .. })), "{result:?}");
        let again = try_load(gpu, &model, model.tensors.clone(), OPTIONS, ControlFlow::Continue(())).err();
        assert!(matches!(again, Some(BackendError::DeviceLost { .. })), "{again:?}");
    });
}

#[test]
fn a_device_lost_between_steps_is_an_error_at_the_next_call() {
    let model = model();
    each_new_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        submit(&mut executor, cache, 0, StepInput::Tokens(&[1, 2, 3]), Want::Nothing);
        gpu.device.destroy();
        let want = Want::Sample(&[GREEDY], 2);
        gone(&mut executor, Step { cache, position: 3, input: StepInput::Tokens(&[4]), want });
    });
    each_new_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let want = Want::Sample(&[GREEDY], 2);
        let first = submit(&mut executor, cache, 0, StepInput::Tokens(&[1]), want);
        let second = submit(&mut executor, cache, 1, StepInput::Sampled, want);
        gpu.device.destroy();
        // What was already under way may still come back, but nothing waits for ever.
        let _ = pollster::block_on(executor.collect(first));
        let _ = pollster::block_on(executor.collect(second));
        gone(&mut executor, Step { cache, position: 1, input: StepInput::Tokens(&[1]), want });
        let adapter = executor.add_adapter(&mut std::iter::empty());
        assert!(matches!(adapter, Err(BackendError::DeviceLost { .. })), "{adapter:?}");
    });
    // A new device works as if nothing had been.
    each_new_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let found = logits(&mut executor, cache, 0, &[1, 2]);
        close(&found, &Plain::new(&model, OPTIONS.cache).step(0, &[1, 2]), CLOSE, "after the loss");
    });
}

fn allocated(gpu: &Gpu) -> u64 {
    gpu.allocated.load(Ordering::Relaxed)
}

#[test]
fn what_does_not_fit_is_an_error_and_nothing_stays_allocated() {
    let model = model();
    each_gpu(|gpu| {
        let gpu = &counted(gpu);
        let before = allocated(gpu);
        let mut small = gpu.clone();
        small.facts.max_buffer_size = 1 << 20;
        // The activations of so many rows need more than that.
        let options = ExecutorOptions { context: 4096, batch: 4096, ..OPTIONS };
        let result = try_load(&small, &model, model.tensors.clone(), options, ControlFlow::Continue(()));
        let error = result.err().expect("no room");
        assert!(matches!(&error, BackendError::OutOfMemory { bytes, .. } if *bytes > 1 << 20), "{error}");
        assert_eq!(allocated(gpu), before);
        // So does the cache of so many positions.
        let options = ExecutorOptions { context: 20_000, ..OPTIONS };
        let mut executor = try_load(&small, &model, model.tensors.clone(), options, ControlFlow::Continue(()))
            .expect("the weights fit");
        let loaded = allocated(gpu);
        assert!(loaded > before);
        for _ in 0..3 {
            let result = executor.create_cache();
            assert!(matches!(result, Err(BackendError::OutOfMemory { .. })), "{result:?}");
            assert_eq!(allocated(gpu), loaded);
        }
        drop(executor);
        assert_eq!(allocated(gpu), before);
    });
}

#[test]
fn a_context_that_no_binding_holds_is_lowered() {
    let model = model();
    each_gpu(|gpu| {
        let options = ExecutorOptions { context: usize::MAX / 2, ..OPTIONS };
        let executor =
            try_load(gpu, &model, model.tensors.clone(), options, ControlFlow::Continue(())).expect("it loads");
        // The context was lowered to what one binding holds.
        let bytes = executor.options().context as u64 * 2 * HEAD_DIM as u64 * 2;
        assert!(bytes <= gpu.facts.max_storage_binding_size);
    });
}

#[test]
fn bindings_too_small_for_a_matrix_take_it_in_pieces() {
    let model = model();
    each_gpu(|gpu| {
        let mut small = gpu.clone();
        small.facts.max_storage_binding_size = 16 << 10;
        let mut executor = executor(&small, &model);
        let pieces = executor.resources.weights.matrices.iter().flatten().map(|matrix| matrix.pieces.len());
        assert!(pieces.max() > Some(2));
        let cache = executor.create_cache().expect("room");
        let mut plain = Plain::new(&model, OPTIONS.cache);
        for (position, tokens) in [(0, &[74, 0, 40][..]), (3, &[16])] {
            let found = logits(&mut executor, cache, position, tokens);
            close(&found, &plain.step(position, tokens), CLOSE, "in pieces");
        }
    });
}
