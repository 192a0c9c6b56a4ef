//! Low-rank changes of the weights.

use nearside_engine::backend::{AdapterId, BackendError, Executor, LowRank};
use nearside_engine::graph::{Op, Weight};

use super::{CLOSE, OPTIONS, executor, logits, model};
use crate::arbitrary::Random;
use crate::executor::GpuExecutor;
use crate::small_model::{Model, Plain};
use crate::testing::{close, counted, each_gpu};

fn change(model: &Model, weight: Weight, rank: usize, random: &mut Random) -> LowRank {
    let spec = &model.graph.weights[weight.0];
    let small = |values: Vec<f32>| values.into_iter().map(|value| value * 0.1).collect();
    LowRank {
        weight,
        rank,
        down: small(random.floats(rank * spec.columns)),
        up: small(random.floats(spec.rows * rank)),
    }
}

/// The weights that are multiplied, in the order of their operations.
fn products(model: &Model) -> Vec<Weight> {
    let weights = model.graph.ops.iter().filter_map(|op| match op {
        Op::MatMul { weight, .. } => Some(*weight),
        _ => None,
    });
    weights.collect()
}

fn add(executor: &mut GpuExecutor, parts: &[LowRank]) -> Result<AdapterId, BackendError> {
    executor.add_adapter(&mut parts.iter().cloned().map(Ok))
}

#[test]
fn adapters_come_change_and_go() {
    let model = model();
    let mut random = Random::new(77);
    let weights = products(&model);
    // A product with a bias, one onto a residual in place, and the output head, which is the embedding too.
    let first: Vec<_> = [(weights[0], 3), (weights[5], 40), (weights[13], 8)]
        .map(|(w, rank)| change(&model, w, rank, &mut random))
        .into();
    let second: Vec<_> =
        [(weights[0], 1), (weights[10], 5)].map(|(w, rank)| change(&model, w, rank, &mut random)).into();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let (a, b) = (add(&mut executor, &first).expect("sound"), add(&mut executor, &second).expect("sound"));
        let check = |executor: &mut GpuExecutor, active: &[(&[LowRank], f32)], what: &str| {
            let mut plain = Plain::new(&model, OPTIONS.cache);
            for (parts, factor) in active {
                plain.changes.extend(parts.iter().map(|part| (part.clone(), *factor)));
            }
            for (position, tokens) in [(0, &[5, 6, 7][..]), (3, &[8])] {
                let found = logits(executor, cache, position, tokens);
                close(&found, &plain.step(position, tokens), CLOSE, what);
            }
        };
        check(&mut executor, &[], "added and not used");
        let unused = executor.counters();
        check(&mut executor, &[], "added and not used");
        let base = executor.counters().dispatches - unused.dispatches;
        executor.use_adapters(&[(a, 1.0)]).expect("it is there");
        check(&mut executor, &[(&first, 1.0)], "one");
        executor.use_adapters(&[(a, 0.5), (b, -2.0)]).expect("they are there");
        let before = executor.counters();
        check(&mut executor, &[(&first, 0.5), (&second, -2.0)], "both");
        let after = executor.counters();
        assert_eq!(after.late_resources, before.late_resources, "a step creates nothing");
        // Two dispatches for each changed product in each of the two steps. For the one token, two more where
        // one of those keeps a layer's heads apart, and two where it keeps a gate and its partner apart.
        assert_eq!(after.dispatches - before.dispatches, base + 2 * 2 * (3 + 2) + 2 + 2);
        executor.drop_adapter(a);
        check(&mut executor, &[(&second, -2.0)], "the other is left");
        let gone = executor.use_adapters(&[(a, 1.0)]);
        assert!(matches!(gone, Err(BackendError::InvalidStep { .. })), "{gone:?}");
        executor.use_adapters(&[]).expect("none is fine");
        check(&mut executor, &[], "none again");
    });
}

#[test]
fn parts_that_do_not_fit_are_refused_and_freed() {
    let model = model();
    let weight = products(&model)[0];
    let norm =
        model.graph.ops.iter().find_map(|op| if let Op::RmsNorm { weight, .. } = op { Some(*weight) } else { None });
    each_gpu(|gpu| {
        let gpu = &counted(gpu);
        let mut executor = executor(gpu, &model);
        let sound = change(&model, weight, 2, &mut Random::new(1));
        let allocated = || gpu.allocated.load(std::sync::atomic::Ordering::Relaxed);
        let before = allocated();
        let mut refused = |parts: &[LowRank]| {
            let result = add(&mut executor, parts);
            assert!(matches!(result, Err(BackendError::InvalidStep { .. })), "{result:?}");
        };
        refused(&[LowRank { rank: 3, ..sound.clone() }]);
        refused(&[LowRank { rank: 0, down: Vec::new(), up: Vec::new(), ..sound.clone() }]);
        refused(&[LowRank { weight: Weight(999), ..sound.clone() }]);
        refused(&[sound.clone(), sound.clone()]);
        refused(&[sound.clone(), change(&model, norm.expect("a norm"), 2, &mut Random::new(2))]);
        assert_eq!(allocated(), before);
        let cancelled = executor.add_adapter(&mut [Ok(sound.clone()), Err(BackendError::Cancelled)].into_iter());
        assert_eq!(cancelled, Err(BackendError::Cancelled));
        assert_eq!(allocated(), before);
        let adapter = add(&mut executor, std::slice::from_ref(&sound)).expect("sound");
        assert!(matches!(executor.use_adapters(&[(adapter, f32::NAN)]), Err(BackendError::InvalidStep { .. })));
        assert!(allocated() > before);
        executor.drop_adapter(adapter);
        assert_eq!(allocated(), before);
    });
}
