//! A small graph with every operation, run on the device and by the plain functions.

mod adapters;
mod costs;
mod failures;
mod features;
mod steps;

use std::ops::ControlFlow;
use std::sync::Arc;

use nearside_engine::backend::{
    BackendError, CacheFormat, CacheId, Choice, Executor, ExecutorOptions, SampleRule, Step, StepInput, Ticket, Want,
    WeightFile,
};
use nearside_engine::graph::{Activation, CacheShape, Op, RopePairing};
use nearside_engine::sampling;
use nearside_gguf::{ByteSource, DataType, Gguf, Metadata, TensorInfo};

use crate::executor::GpuExecutor;
use crate::load::load;
use crate::small_model::{Builder, Model};
use crate::testing::Gpu;

const VOCABULARY: usize = 75;
const WIDTH: usize = 256;
const HEADS: usize = 4;
const HEAD_DIM: usize = 24;

fn frequencies(pairs: usize, base: f32) -> Arc<[f32]> {
    (0..pairs).map(|pair| base.powi(pair as i32)).collect()
}

pub(crate) fn model() -> Model {
    model_with(HEAD_DIM)
}

/// The same with heads so wide.
fn model_with(head_dim: usize) -> Model {
    let mut b = Builder::new(VOCABULARY, vec![CacheShape { heads: 2, head_dim }; 2], 21);
    let (q_width, kv_width, inner) = (HEADS * head_dim, 2 * head_dim, 96);
    let [x, normed, q, k, v] = [WIDTH, WIDTH, q_width, kv_width, kv_width].map(|width| b.slot(width));
    let [mixed, fused, left, right] = [q_width, 2 * inner, inner, inner].map(|width| b.slot(width));
    let [last, hidden, logits, projected] = [WIDTH, WIDTH, VOCABULARY, WIDTH].map(|width| b.slot(width));
    let table = b.weight(VOCABULARY, WIDTH, DataType::Q6K);
    let mut ops = vec![Op::Embed { table, scale: 3.0, output: x }];
    for (layer, pairing, window, activation) in
        [(0, RopePairing::Adjacent, None, Activation::Silu), (1, RopePairing::Halves, Some(6), Activation::GeluTanh)]
    {
        let norm = b.weight(1, WIDTH, DataType::F32);
        ops.push(Op::RmsNorm { input: x, weight: norm, group: WIDTH, epsilon: 1e-5, output: normed });
        for (output, width, data_type) in
            [(q, q_width, DataType::Q4K), (k, kv_width, DataType::Q5_0), (v, kv_width, DataType::F16)]
        {
            let weight = b.weight(width, WIDTH, data_type);
            let bias = Some(b.weight(1, width, DataType::F32));
            ops.push(Op::MatMul { weight, bias, scale: 20.0, residual: None, input: normed, output });
        }
        let head_norm = b.weight(1, head_dim, DataType::F32);
        ops.push(Op::RmsNorm { input: k, weight: head_norm, group: head_dim, epsilon: 1e-6, output: k });
        let frequencies = frequencies(head_dim / 2 - layer, 0.7);
        for (slot, heads) in [(q, HEADS), (k, 2)] {
            let frequencies = Arc::clone(&frequencies);
            ops.push(Op::Rope { slot, heads, head_dim, pairing, frequencies, magnitude: 1.0 });
        }
        ops.push(Op::StoreCache { layer, key: k, value: v });
        ops.push(Op::Attention { layer, query: q, heads: HEADS, scale: 2.0, window, output: mixed });
        let weight = b.weight(WIDTH, q_width, DataType::Q4_0);
        ops.push(Op::MatMul { weight, bias: None, scale: 1.0, residual: Some(x), input: mixed, output: projected });
        ops.push(Op::Add { left: projected, right: x, output: x });
        if layer == 0 {
            let weight = b.weight(2 * inner, WIDTH, DataType::Q8_0);
            ops.push(Op::MatMul { weight, bias: None, scale: 1.0, residual: None, input: x, output: fused });
            ops.push(Op::Columns { input: fused, start: 0, output: left });
            ops.push(Op::Columns { input: fused, start: inner, output: right });
        } else {
            for (output, scale) in [(left, 1.5), (right, 0.5)] {
                let weight = b.weight(inner, WIDTH, DataType::Iq2Xxs);
                ops.push(Op::MatMul { weight, bias: None, scale, residual: None, input: x, output });
            }
        }
        ops.push(Op::Gate { gate: left, up: right, activation, output: right });
        let weight = b.weight(WIDTH, inner, DataType::Q4_1);
        ops.push(Op::MatMul { weight, bias: None, scale: 1.0, residual: Some(x), input: right, output: x });
    }
    let norm = b.weight(1, WIDTH, DataType::F32);
    ops.push(Op::RmsNorm { input: x, weight: norm, group: WIDTH, epsilon: 1e-5, output: hidden });
    ops.push(Op::LastRows { input: hidden, output: last });
    ops.push(Op::MatMul { weight: table, bias: None, scale: 60.0, residual: None, input: last, output: logits });
    let mut model = b.model;
    (model.graph.ops, model.graph.hidden, model.graph.logits) = (ops, hidden, logits);
    model
}

/// How near logits come to those of the plain functions. Sums in another order may round an input of quantized
/// weights to its other neighbour, which shows.
const CLOSE: f32 = 2.5e-2;

const OPTIONS: ExecutorOptions = ExecutorOptions { context: 40, batch: 6, choices: 4, cache: CacheFormat::F16 };

fn try_load(
    gpu: &Gpu,
    model: &Model,
    tensors: Vec<TensorInfo>,
    options: ExecutorOptions,
    flow: ControlFlow<()>,
) -> Result<GpuExecutor, BackendError> {
    let gguf = Gguf::new(3, Metadata::default(), tensors);
    let file = WeightFile { gguf: &gguf, bytes: &model.bytes as &dyn ByteSource };
    pollster::block_on(load(gpu, &model.graph, file, options, &mut |_, _| flow))
}

fn executor(gpu: &Gpu, model: &Model) -> GpuExecutor {
    load_with(gpu, model, OPTIONS)
}

fn load_with(gpu: &Gpu, model: &Model, options: ExecutorOptions) -> GpuExecutor {
    try_load(gpu, model, model.tensors.clone(), options, ControlFlow::Continue(())).expect("the graph loads")
}

fn submit(executor: &mut GpuExecutor, cache: CacheId, position: usize, input: StepInput<'_>, want: Want<'_>) -> Ticket {
    executor.submit(Step { cache, position, input, want }).expect("a sound step")
}

fn logits(executor: &mut GpuExecutor, cache: CacheId, position: usize, tokens: &[u32]) -> Vec<f32> {
    let ticket = submit(executor, cache, position, StepInput::Tokens(tokens), Want::Logits);
    pollster::block_on(executor.collect(ticket)).expect("a result").logits
}

const GREEDY: SampleRule = SampleRule { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, draw: 0.0 };

const RANDOM: SampleRule = SampleRule { temperature: 0.9, top_k: 20, top_p: 0.95, min_p: 0.01, draw: 0.6 };

fn choices(executor: &mut GpuExecutor, ticket: Ticket) -> Vec<Choice> {
    pollster::block_on(executor.collect(ticket)).expect("a result").choices
}

/// Fails unless a choice is what the rule makes of these logits, as far as rounding lets it be known.
fn chosen(choice: &Choice, logits: &[f32], rule: &SampleRule, what: &str) {
    let best = sampling::top_candidates(logits, 20);
    assert_eq!(choice.candidates[0].token, best[0].token, "{what}");
    let sum = sampling::log_sum_exp(logits);
    assert!((choice.log_sum_exp - sum).abs() < 1e-2, "{what}: {} is not {sum}", choice.log_sum_exp);
    assert_eq!(Some(choice.token), sampling::choose(&best, rule), "{what}");
}
