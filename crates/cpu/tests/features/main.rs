//! What an executor can do beside plain steps, each against the plain way of getting the same.

#[path = "../support/tiny.rs"]
mod tiny;

mod adapters;
mod caches;
mod choices;

use std::ops::ControlFlow;

use nearside_cpu::CpuBackend;
use nearside_engine::architectures;
use nearside_engine::backend::{
    Backend, BackendError, CacheFormat, CacheId, Executor, ExecutorOptions, HeldChoice, SampleRule, Step, StepInput,
    StepOutput, TokenId, Want, WeightFile,
};
use nearside_engine::graph::Graph;
use nearside_gguf::{ByteSource, Gguf};
use tiny::{ModelBytes, Tiny};

const OPTIONS: ExecutorOptions = ExecutorOptions { context: 300, batch: 48, choices: 8, cache: CacheFormat::F16 };
const GREEDY: SampleRule = SampleRule { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, draw: 0.0 };

/// A loaded model with its graph and one cache.
struct Loaded {
    graph: Graph,
    executor: Box<dyn Executor>,
    cache: CacheId,
}

impl Loaded {
    fn new() -> Self {
        Self::from_file(&Tiny::default().file(), OPTIONS)
    }

    fn from_file(bytes: &ModelBytes, options: ExecutorOptions) -> Self {
        let gguf = Gguf::read(bytes as &dyn ByteSource).expect("a sound file");
        let (_, graph) = architectures::build(&gguf, bytes, 64).expect("a sound model");
        let mut progress = |_, _| ControlFlow::Continue(());
        let file = WeightFile { gguf: &gguf, bytes };
        let mut executor = pollster::block_on(CpuBackend::new().load(&graph, file, options, &mut progress))
            .expect("a model that can be loaded");
        let cache = executor.create_cache().expect("room for a cache");
        Self { graph, executor, cache }
    }

    fn run(&mut self, cache: CacheId, position: usize, tokens: &[TokenId], want: Want<'_>) -> StepOutput {
        self.try_run(Step { cache, position, input: StepInput::Tokens(tokens), want }).expect("a sound step")
    }

    fn try_run(&mut self, step: Step<'_>) -> Result<StepOutput, BackendError> {
        let ticket = self.executor.submit(step)?;
        pollster::block_on(self.executor.collect(ticket))
    }

    fn choose(&mut self, choice: HeldChoice<'_>) -> Result<StepOutput, BackendError> {
        let ticket = self.executor.choose(choice)?;
        pollster::block_on(self.executor.collect(ticket))
    }

    /// Fills a cache with these tokens, in steps of this many.
    fn fill(&mut self, cache: CacheId, tokens: &[TokenId], batch: usize) {
        for (index, tokens) in tokens.chunks(batch).enumerate() {
            self.run(cache, index * batch, tokens, Want::Nothing);
        }
    }

    /// The logits after some tokens, from an empty past.
    fn logits_after(&mut self, tokens: &[TokenId]) -> Vec<f32> {
        let (last, past) = tokens.split_last().expect("a token");
        self.fill(self.cache, past, OPTIONS.batch);
        self.run(self.cache, past.len(), &[*last], Want::Logits).logits
    }
}

/// Some letters, always the same.
fn letters(count: usize) -> Vec<TokenId> {
    (0..count).map(|index| ((index * index * 7 + index * 3) % 26) as TokenId).collect()
}

fn difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max)
}
