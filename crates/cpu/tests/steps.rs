//! The contract of single steps.

#[path = "support/tiny.rs"]
mod tiny;

use std::ops::ControlFlow;
use std::rc::Rc;

use nearside_cpu::CpuBackend;
use nearside_engine::architectures;
use nearside_engine::backend::{
    Backend, BackendError, CacheFormat, CacheId, Executor, ExecutorOptions, SampleRule, Step, StepInput, StepOutput,
    Want, WeightFile,
};
use nearside_engine::graph::{Graph, Op, Slot};
use nearside_gguf::{ByteSource, Gguf, SourceError};
use tiny::Tiny;

const OPTIONS: ExecutorOptions = ExecutorOptions { context: 16, batch: 4, choices: 4, cache: CacheFormat::F16 };
const GREEDY: SampleRule = SampleRule { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, draw: 0.0 };

fn load(change: impl FnOnce(&mut Graph)) -> Result<Box<dyn Executor>, BackendError> {
    load_from(&Tiny::default().file(), change)
}

fn load_from(bytes: &dyn ByteSource, change: impl FnOnce(&mut Graph)) -> Result<Box<dyn Executor>, BackendError> {
    let gguf = Gguf::read(bytes).expect("a sound file");
    let (_, mut graph) = architectures::build(&gguf, bytes, 64).expect("a sound model");
    change(&mut graph);
    let mut progress = |_, _| ControlFlow::Continue(());
    let file = WeightFile { gguf: &gguf, bytes };
    pollster::block_on(CpuBackend::new().load(&graph, file, OPTIONS, &mut progress))
}

fn executor() -> (Box<dyn Executor>, CacheId) {
    let mut executor = load(|_| {}).expect("a sound graph");
    let cache = executor.create_cache().expect("room for a cache");
    (executor, cache)
}

fn run(executor: &mut dyn Executor, step: Step<'_>) -> Result<StepOutput, BackendError> {
    let ticket = executor.submit(step)?;
    pollster::block_on(executor.collect(ticket))
}

#[test]
fn steps_outside_the_contract_are_refused_and_harm_nothing() {
    let (mut executor, cache) = executor();
    let sound = Step { cache, position: 0, input: StepInput::Tokens(&[1, 2, 3]), want: Want::Logits };
    let expected = run(executor.as_mut(), sound).expect("a sound step");
    let unsound = [
        Step { cache: CacheId(99), ..sound },
        Step { position: 4, ..sound },
        Step { position: usize::MAX, ..sound },
        Step { input: StepInput::Tokens(&[]), ..sound },
        Step { input: StepInput::Tokens(&[1; 5]), ..sound },
        Step { input: StepInput::Tokens(&[27]), ..sound },
        Step { input: StepInput::Sampled, ..sound },
    ];
    for step in unsound {
        let error = run(executor.as_mut(), step).expect_err("an unsound step");
        assert!(matches!(error, BackendError::InvalidStep { .. }), "{step:?}: {error}");
    }
    for position in (0..16).step_by(4) {
        let step = Step { position, input: StepInput::Tokens(&[1; 4]), want: Want::Nothing, ..sound };
        run(executor.as_mut(), step).expect("it fits");
    }
    let full = Step { position: 14, input: StepInput::Tokens(&[1; 4]), ..sound };
    run(executor.as_mut(), full).expect_err("it does not fit");
    assert_eq!(run(executor.as_mut(), sound).expect("a sound step"), expected);
    executor.drop_cache(cache);
    executor.drop_cache(cache);
    run(executor.as_mut(), sound).expect_err("the cache is gone");
}

#[test]
fn a_sampled_token_is_fed_back_without_being_seen() {
    let (mut executor, cache) = executor();
    let want = Want::Sample(&[GREEDY], 3);
    let prompt = Step { cache, position: 0, input: StepInput::Tokens(&[1, 2, 3]), want };
    let first = executor.submit(prompt).expect("a sound step");
    let fed = Step { cache, position: 3, input: StepInput::Sampled, want };
    let second = executor.submit(fed).expect("a step after one that chose");
    let first = pollster::block_on(executor.collect(first)).expect("an output");
    let second = pollster::block_on(executor.collect(second)).expect("an output");
    let [first] = first.choices.as_slice() else { panic!("one choice") };
    assert_eq!(first.token, first.candidates[0].token);
    assert_eq!(first.candidates.len(), 3);
    let chosen = [first.token];
    let told = Step { cache, position: 3, input: StepInput::Tokens(&chosen), want };
    assert_eq!(run(executor.as_mut(), told).expect("a sound step"), second);
    run(executor.as_mut(), Step { want: Want::Nothing, ..prompt }).expect("a sound step");
    run(executor.as_mut(), fed).expect_err("the step before it chose nothing");
}

#[test]
fn rows_that_are_read_together_give_the_bits_of_rows_read_one_by_one() {
    let (mut executor, cache) = executor();
    let tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
    let mut alone = Vec::new();
    for (position, token) in tokens.iter().enumerate() {
        let input = StepInput::Tokens(std::slice::from_ref(token));
        let step = Step { cache, position, input, want: Want::Sample(&[GREEDY], 27) };
        alone.extend(run(executor.as_mut(), step).expect("a sound step").choices);
    }
    for rows in 2..=4 {
        let rules = vec![GREEDY; rows];
        let mut together = Vec::new();
        for (index, tokens) in tokens.chunks_exact(rows).enumerate() {
            let want = Want::Sample(&rules, 27);
            let step = Step { cache, position: index * rows, input: StepInput::Tokens(tokens), want };
            together.extend(run(executor.as_mut(), step).expect("a sound step").choices);
        }
        assert_eq!(together, alone, "{rows} rows at a time");
    }
}

#[test]
fn outputs_that_nobody_collects_do_not_stand_in_the_way() {
    let (mut executor, cache) = executor();
    let step = |tokens| Step { cache, position: 0, input: StepInput::Tokens(tokens), want: Want::Logits };
    let expected = run(executor.as_mut(), step(&[1, 2])).expect("a sound step");
    for _ in 0..100 {
        executor.submit(step(&[3])).expect("a sound step");
    }
    assert_eq!(run(executor.as_mut(), step(&[1, 2])).expect("a sound step"), expected);
}

#[test]
fn a_graph_that_does_not_fit_is_refused() {
    let refused = |change: fn(&mut Graph)| load(change).err().expect("a refusal").to_string();
    refused(|graph| graph.slots[0] += 1);
    refused(|graph| graph.ops.push(Op::LastRows { input: Slot(99), output: Slot(0) }));
    refused(|graph| graph.caches.clear());
    refused(|graph| graph.weights[0].rows += 1);
    refused(|graph| graph.weights[1].name = "nothing".to_owned());
    refused(|graph| graph.hidden = Slot(99));
}

#[test]
fn counters_count() {
    let (mut executor, cache) = executor();
    let before = executor.counters();
    assert!(before.weight_bytes > 0);
    let step = Step { cache, position: 0, input: StepInput::Tokens(&[1]), want: Want::Nothing };
    run(executor.as_mut(), step).expect("a sound step");
    let short = executor.counters().dispatches;
    run(executor.as_mut(), Step { want: Want::Logits, ..step }).expect("a sound step");
    let after = executor.counters();
    assert_eq!(after.steps, 2);
    assert!(after.dispatches - short > short, "filling the cache leaves out what follows the last row");
}

/// A file that can be read as long as somebody wants.
#[derive(Clone)]
struct Lasting(Rc<dyn ByteSource>);

impl ByteSource for Lasting {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.0.read_at(offset, buffer)
    }

    fn lasting(&self) -> Option<Rc<dyn ByteSource>> {
        Some(Rc::new(self.clone()))
    }
}

#[test]
fn a_table_that_is_only_looked_up_may_stay_in_the_file() {
    for own_head in [false, true] {
        let bytes: Rc<dyn ByteSource> = Rc::new(Tiny { own_head, ..Tiny::default() }.file());
        let outcome = |bytes: &dyn ByteSource| {
            let mut executor = load_from(bytes, |_| {}).expect("a sound graph");
            let cache = executor.create_cache().expect("room for a cache");
            let step = Step { cache, position: 0, input: StepInput::Tokens(&[1, 25]), want: Want::Logits };
            (run(executor.as_mut(), step).expect("a sound step"), executor.counters().weight_bytes)
        };
        let (held, held_bytes) = outcome(bytes.as_ref());
        let (looked_up, fewer_bytes) = outcome(&Lasting(bytes));
        assert_eq!(looked_up, held);
        assert_eq!(fewer_bytes < held_bytes, own_head, "the output needs a table that is its own, too");
    }
}
