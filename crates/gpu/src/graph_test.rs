//! A small graph with every operation, run on the device and by the plain functions.

use std::ops::ControlFlow;
use std::sync::Arc;

use nearside_engine::backend::{
    BackendError, CacheFormat, CacheId, Executor, ExecutorOptions, SampleRule, Step, StepInput, Ticket, Want,
    WeightFile,
};
use nearside_engine::graph::{Activation, CacheShape, Graph, Op, RopePairing, Slot, Weight, WeightSpec};
use nearside_engine::sampling;
use nearside_gguf::{ByteSource, DataType, Gguf, Metadata, TensorInfo};

use crate::executor::GpuExecutor;
use crate::kernels::{add, attention, columns, embed, gate, last_row, matmul, rms_norm, rope};
use crate::load::load;
use crate::quants::reference;
use crate::testing::{Gpu, Random, close, each_gpu};

const VOCABULARY: usize = 75;
const WIDTH: usize = 256;
const HEADS: usize = 4;
const HEAD_DIM: usize = 24;

/// A graph, its file and its weights as plain rows.
struct Model {
    graph: Graph,
    tensors: Vec<TensorInfo>,
    bytes: Vec<u8>,
    weights: Vec<Vec<Vec<f32>>>,
}

struct Builder {
    model: Model,
    random: Random,
}

impl Builder {
    fn weight(&mut self, rows: usize, columns: usize, data_type: DataType) -> Weight {
        let index = self.model.weights.len();
        let name = format!("weight.{index}");
        let stored = reference::random_rows(data_type, rows, columns, &mut self.random);
        let row_bytes = stored.len() / rows;
        self.model.weights.push(stored.chunks(row_bytes).map(|row| reference::decode(data_type, row)).collect());
        self.model.tensors.push(TensorInfo {
            name: name.clone(),
            data_type,
            dimensions: vec![columns as u64, rows as u64],
            offset: self.model.bytes.len() as u64,
            size: stored.len() as u64,
        });
        self.model.bytes.extend(stored);
        self.model.graph.weights.push(WeightSpec { name, rows, columns });
        Weight(index)
    }

    fn slot(&mut self, width: usize) -> Slot {
        self.model.graph.slots.push(width);
        Slot(self.model.graph.slots.len() - 1)
    }
}

fn frequencies(pairs: usize, base: f32) -> Arc<[f32]> {
    (0..pairs).map(|pair| base.powi(pair as i32)).collect()
}

fn model() -> Model {
    let graph = Graph {
        slots: Vec::new(),
        weights: Vec::new(),
        caches: vec![CacheShape { heads: 2, head_dim: HEAD_DIM }; 2],
        ops: Vec::new(),
        hidden: Slot(0),
        logits: Slot(0),
        vocabulary: VOCABULARY,
    };
    let model = Model { graph, tensors: Vec::new(), bytes: Vec::new(), weights: Vec::new() };
    let mut b = Builder { model, random: Random::new(21) };
    let (q_width, kv_width, inner) = (HEADS * HEAD_DIM, 2 * HEAD_DIM, 96);
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
        let head_norm = b.weight(1, HEAD_DIM, DataType::F32);
        ops.push(Op::RmsNorm { input: k, weight: head_norm, group: HEAD_DIM, epsilon: 1e-6, output: k });
        let frequencies = frequencies(HEAD_DIM / 2 - layer, 0.7);
        for (slot, heads) in [(q, HEADS), (k, 2)] {
            let frequencies = Arc::clone(&frequencies);
            ops.push(Op::Rope { slot, heads, head_dim: HEAD_DIM, pairing, frequencies, magnitude: 1.0 });
        }
        ops.push(Op::StoreCache { layer, key: k, value: v });
        ops.push(Op::Attention { layer, query: q, heads: HEADS, scale: 2.0, window, output: mixed });
        let weight = b.weight(WIDTH, q_width, DataType::Q4_0);
        ops.push(Op::MatMul { weight, bias: None, scale: 1.0, residual: Some(x), input: mixed, output: projected });
        ops.push(Op::Add { left: projected, right: x, output: x });
        let weight = b.weight(2 * inner, WIDTH, DataType::Q8_0);
        ops.push(Op::MatMul { weight, bias: None, scale: 1.0, residual: None, input: x, output: fused });
        ops.push(Op::Columns { input: fused, start: 0, output: left });
        ops.push(Op::Columns { input: fused, start: inner, output: right });
        ops.push(Op::Gate { gate: left, up: right, activation, output: right });
        let weight = b.weight(WIDTH, inner, DataType::Q4_1);
        ops.push(Op::MatMul { weight, bias: None, scale: 1.0, residual: Some(x), input: right, output: x });
    }
    let norm = b.weight(1, WIDTH, DataType::F32);
    ops.push(Op::RmsNorm { input: x, weight: norm, group: WIDTH, epsilon: 1e-5, output: hidden });
    ops.push(Op::LastRows { input: hidden, output: last });
    ops.push(Op::MatMul { weight: table, bias: None, scale: 60.0, residual: None, input: last, output: logits });
    let mut model = b.model;
    model.graph = Graph { ops, hidden, logits, ..model.graph };
    model
}

/// The graph by the plain functions.
struct Plain<'a> {
    model: &'a Model,
    slots: Vec<Vec<Vec<f32>>>,
    /// Keys and values of each layer.
    caches: Vec<[Vec<Vec<f32>>; 2]>,
}

impl<'a> Plain<'a> {
    fn new(model: &'a Model) -> Self {
        let caches = vec![[Vec::new(), Vec::new()]; model.graph.caches.len()];
        Self { model, slots: vec![Vec::new(); model.graph.slots.len()], caches }
    }

    fn vector(&self, weight: Weight) -> &[f32] {
        &self.model.weights[weight.0][0]
    }

    fn step(&mut self, position: usize, tokens: &[u32]) -> Vec<f32> {
        for op in &self.model.graph.ops {
            self.op(op, position, tokens);
        }
        self.slots[self.model.graph.logits.0][0].clone()
    }

    fn op(&mut self, op: &Op, position: usize, tokens: &[u32]) {
        match op {
            Op::Embed { table, scale, output } => {
                self.slots[output.0] = embed::plain(&self.model.weights[table.0], tokens, *scale);
            }
            Op::RmsNorm { input, weight, epsilon, output, .. } => {
                let rows = &self.slots[input.0];
                self.slots[output.0] =
                    rows.iter().map(|row| rms_norm::plain(row, self.vector(*weight), *epsilon)).collect();
            }
            Op::MatMul { weight, bias, scale, residual, input, output } => {
                let rows = self.slots[input.0].iter().enumerate().map(|(row, values)| {
                    let bias = bias.map(|bias| self.vector(bias));
                    let residual = residual.map(|slot| self.slots[slot.0][row].as_slice());
                    matmul::plain(&self.model.weights[weight.0], values, *scale, bias, residual)
                });
                self.slots[output.0] = rows.collect();
            }
            Op::Rope { slot, head_dim, pairing, frequencies, magnitude, .. } => {
                for (row, values) in self.slots[slot.0].iter_mut().enumerate() {
                    let turns: Vec<_> = rope::turns(frequencies, *magnitude, position + row).collect();
                    rope::plain(values, *head_dim, *pairing, &turns);
                }
            }
            Op::StoreCache { layer, key, value } => {
                for (cache, slot) in self.caches[*layer].iter_mut().zip([key, value]) {
                    cache.truncate(position);
                    let halves = |value: &f32| half::f16::from_f32(*value).to_f32();
                    cache.extend(self.slots[slot.0].iter().map(|row| row.iter().map(halves).collect::<Vec<_>>()));
                }
            }
            Op::Attention { layer, query, heads, scale, window, output } => {
                let CacheShape { heads: cache_heads, head_dim } = self.model.graph.caches[*layer];
                let rows = self.slots[query.0].iter().enumerate().map(|(row, values)| {
                    let end = position + row + 1;
                    let start = window.map_or(0, |window| end.saturating_sub(window));
                    (0..*heads)
                        .flat_map(|head| {
                            let at = head / (heads / cache_heads) * head_dim;
                            let part = |cache: &[Vec<f32>]| -> Vec<Vec<f32>> {
                                cache[start..end].iter().map(|row| row[at..at + head_dim].to_vec()).collect()
                            };
                            let [keys, values_of] = &self.caches[*layer];
                            let query = &values[head * head_dim..][..head_dim];
                            attention::plain(query, &part(keys), &part(values_of), *scale)
                        })
                        .collect()
                });
                self.slots[output.0] = rows.collect();
            }
            Op::Gate { gate, up, activation, output } => {
                let rows = self.slots[gate.0].iter().zip(&self.slots[up.0]);
                let gated = |(gate, up): (&f32, &f32)| gate::plain(*activation, *gate, *up);
                self.slots[output.0] = rows.map(|(gate, up)| gate.iter().zip(up).map(gated).collect()).collect();
            }
            Op::Add { left, right, output } => {
                let rows = self.slots[left.0].iter().zip(&self.slots[right.0]);
                self.slots[output.0] = rows.map(|(left, right)| add::plain(left, right)).collect();
            }
            Op::Columns { input, start, output } => {
                let width = self.model.graph.slots[output.0];
                self.slots[output.0] =
                    self.slots[input.0].iter().map(|row| columns::plain(row, *start, width)).collect();
            }
            Op::LastRows { input, output } => self.slots[output.0] = vec![last_row::plain(&self.slots[input.0])],
        }
    }
}

const OPTIONS: ExecutorOptions = ExecutorOptions { context: 40, batch: 6, choices: 1, cache: CacheFormat::F16 };

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
    try_load(gpu, model, model.tensors.clone(), OPTIONS, ControlFlow::Continue(())).expect("the graph loads")
}

fn submit(executor: &mut GpuExecutor, cache: CacheId, position: usize, input: StepInput<'_>, want: Want) -> Ticket {
    executor.submit(Step { cache, position, input, want }).expect("a sound step")
}

fn logits(executor: &mut GpuExecutor, cache: CacheId, position: usize, tokens: &[u32]) -> Vec<f32> {
    let ticket = submit(executor, cache, position, StepInput::Tokens(tokens), Want::Logits);
    pollster::block_on(executor.collect(ticket)).expect("a result").logits
}

const GREEDY: SampleRule = SampleRule { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, draw: 0.0 };

#[test]
fn every_operation_together_equals_the_plain_functions() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let caches = [executor.create_cache().expect("room"), executor.create_cache().expect("room")];
        let mut plain = [Plain::new(&model), Plain::new(&model)];
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
            close(&found, &expected, 2e-3, &format!("conversation {which} at {position}"));
        }
    });
}

#[test]
fn sampled_tokens_feed_the_next_step_on_the_device() {
    let model = model();
    each_gpu(|gpu| {
        let mut executor = executor(gpu, &model);
        let cache = executor.create_cache().expect("room");
        let rule = SampleRule { temperature: 0.9, top_k: 20, top_p: 0.95, min_p: 0.01, draw: 0.6 };
        let mut plain = Plain::new(&model);
        let mut expected = plain.step(0, &[3, 4]);
        let mut tickets = vec![submit(&mut executor, cache, 0, StepInput::Tokens(&[3, 4]), Want::Sample(&[rule], 5))];
        tickets.push(submit(&mut executor, cache, 2, StepInput::Sampled, Want::Sample(&[GREEDY], 2)));
        tickets.push(submit(&mut executor, cache, 3, StepInput::Sampled, Want::Sample(&[rule], 2)));
        for (index, ticket) in tickets.into_iter().enumerate() {
            let output = pollster::block_on(executor.collect(ticket)).expect("a result");
            let rule = if index == 1 { GREEDY } else { rule };
            let best = sampling::top_candidates(&expected, 20);
            let [choice] = output.choices.as_slice() else { panic!("one choice") };
            assert_eq!(choice.candidates.len(), if index == 0 { 5 } else { 2 });
            assert_eq!(choice.candidates[0].token, best[0].token);
            assert!((choice.log_sum_exp - sampling::log_sum_exp(&expected)).abs() < 1e-2);
            let token = choice.token;
            assert_eq!(Some(token), sampling::choose(&best, &rule));
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

#[test]
fn a_lost_device_is_an_error_and_not_a_panic() {
    let model = model();
    // A device of its own, since losing it is the point.
    let Ok(gpu) = pollster::block_on(crate::adapter::open(&crate::GpuOptions::default())) else {
        eprintln!("skipped: there is no adapter; install mesa-vulkan-drivers");
        return;
    };
    let mut executor = executor(&gpu, &model);
    let cache = executor.create_cache().expect("room");
    let ticket = submit(&mut executor, cache, 0, StepInput::Tokens(&[1]), Want::Sample(&[GREEDY], 2));
    gpu.device.destroy();
    let _ = pollster::block_on(executor.collect(ticket));
    let step = Step { cache, position: 0, input: StepInput::Tokens(&[1]), want: Want::Sample(&[GREEDY], 2) };
    let result = match executor.submit(step) {
        Ok(ticket) => pollster::block_on(executor.collect(ticket)).map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(matches!(result, Err(BackendError::DeviceLost { .. })), "{result:?}");
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
