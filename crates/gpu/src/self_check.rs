//! A small computation with a known answer, run before an adapter is trusted.
//!
//! Some drivers compile kernels wrongly, and then a model answers with nonsense. A model of one layer
//! goes through everything that a real one does: quantized products for one token and for several,
//! norms, rotations, the cache, attention and the choice of a token. It shares its kernels with the
//! models loaded later, so that most of what it costs is not paid twice.

use std::ops::ControlFlow;
use std::sync::Arc;

use nearside_engine::backend::{
    BackendError, CacheFormat, Candidate, Choice, Executor, ExecutorOptions, SampleRule, Step, StepInput, TokenId,
    Want, WeightFile,
};
use nearside_engine::graph::{CacheShape, Op, RopePairing};
use nearside_engine::sampling;
use nearside_gguf::{ByteSource, DataType, Gguf, Metadata};

use crate::adapter::{Fault, Gpu};
use crate::load::load;
use crate::plan::FEW;
use crate::small_model::{Builder, Model, Plain};

const VOCABULARY: usize = 96;
const WIDTH: usize = 256;
const HEAD_DIM: usize = 64;
const HEADS: usize = 16;
const OPTIONS: ExecutorOptions = ExecutorOptions { context: 32, batch: 4, choices: 1, cache: CacheFormat::F16 };
const RULE: SampleRule = SampleRule { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.01, draw: 0.4 };
const PROMPT: [TokenId; 3] = [17, 80, 3];

/// How far a logit may be off, in its own size and one: halves in the cache may round either way.
const TOLERANCE: f32 = 0.02;

/// Fails with the reason if the adapter computes wrongly, or as if it did. Where many tokens are multiplied in
/// packed integers, a prompt that is long enough for that comes first.
pub(crate) async fn run(gpu: &Gpu, fault: Option<Fault>) -> Result<(), BackendError> {
    let model = model();
    match fault {
        Some(Fault::WrongNumbers) => check(gpu, &other(&model), &model).await,
        _ => check(gpu, &model, &model).await,
    }
}

/// Scales of the other sign in one matrix are as if a kernel read them wrongly.
fn other(model: &Model) -> Model {
    let mut other = model.clone();
    let tensor = &other.tensors[4];
    let range = tensor.offset as usize..(tensor.offset + tensor.size) as usize;
    other.bytes[range].chunks_mut(tensor.data_type.block_bytes()).for_each(|block| block[1] ^= 0x80);
    other
}

fn model() -> Model {
    let cache = CacheShape { heads: 2, head_dim: HEAD_DIM };
    let mut builder = Builder::new(VOCABULARY, vec![cache], 5);
    let b = &mut builder;
    let [x, normed, q, k, v, mixed, hidden, last, logits] =
        [WIDTH, WIDTH, HEADS * HEAD_DIM, 2 * HEAD_DIM, 2 * HEAD_DIM, HEADS * HEAD_DIM, WIDTH, WIDTH, VOCABULARY]
            .map(|width| b.slot(width));
    let table = b.weight(VOCABULARY, WIDTH, DataType::Q4K);
    let norm = b.weight(1, WIDTH, DataType::F32);
    let mut ops = vec![
        Op::Embed { table, scale: 10.0, output: x },
        Op::RmsNorm { input: x, weight: norm, group: WIDTH, epsilon: 1e-5, output: normed },
    ];
    for (output, width) in [(q, HEADS * HEAD_DIM), (k, 2 * HEAD_DIM), (v, 2 * HEAD_DIM)] {
        let weight = b.weight(width, WIDTH, DataType::Q4K);
        ops.push(Op::MatMul { weight, bias: None, scale: 40.0, residual: None, input: normed, output });
    }
    let frequencies: Arc<[f32]> = (0..HEAD_DIM / 2).map(|pair| 0.8f32.powi(pair as i32)).collect();
    for (slot, heads) in [(q, HEADS), (k, 2)] {
        let frequencies = Arc::clone(&frequencies);
        let pairing = RopePairing::Halves;
        ops.push(Op::Rope { slot, heads, head_dim: HEAD_DIM, pairing, frequencies, magnitude: 1.0 });
    }
    let weight = b.weight(WIDTH, HEADS * HEAD_DIM, DataType::Q4K);
    ops.extend([
        Op::StoreCache { layer: 0, key: k, value: v },
        Op::Attention { layer: 0, query: q, heads: HEADS, scale: 0.125, window: None, output: mixed },
        Op::MatMul { weight, bias: None, scale: 4.0, residual: Some(x), input: mixed, output: x },
        Op::RmsNorm { input: x, weight: norm, group: WIDTH, epsilon: 1e-5, output: hidden },
        Op::LastRows { input: hidden, output: last },
        Op::MatMul { weight: table, bias: None, scale: 400.0, residual: None, input: last, output: logits },
    ]);
    let mut model = builder.model;
    (model.graph.ops, model.graph.hidden, model.graph.logits) = (ops, hidden, logits);
    model
}

/// Runs one model on the device and compares it with what the plain functions make of another.
async fn check(gpu: &Gpu, model: &Model, expected: &Model) -> Result<(), BackendError> {
    let gguf = Gguf::new(3, Metadata::default(), model.tensors.clone());
    let file = WeightFile { gguf: &gguf, bytes: &model.bytes as &dyn ByteSource };
    let packed = gpu.tuning.tiles.is_some_and(|tiles| tiles.packed.is_some());
    let many: Vec<TokenId> = PROMPT.into_iter().cycle().take(if packed { FEW + 1 } else { 0 }).collect();
    let options = ExecutorOptions { batch: OPTIONS.batch.max(many.len()), ..OPTIONS };
    let mut executor = load(gpu, &model.graph, file, options, &mut |_, _| ControlFlow::Continue(())).await?;
    let cache = executor.create_cache()?;
    let mut plain = Plain::new(expected, OPTIONS.cache);
    let prompts = [&many[..], &PROMPT].into_iter().filter(|prompt| !prompt.is_empty());
    let steps = prompts.map(|prompt| (StepInput::Tokens(prompt), prompt.to_vec()));
    let (mut position, mut tokens) = (0, Vec::new());
    for (input, given) in steps.chain([(StepInput::Sampled, Vec::new())]) {
        if !given.is_empty() {
            tokens = given;
        }
        let ticket = executor.submit(Step { cache, position, input, want: Want::Sample(&[RULE], 16) })?;
        let found = executor.collect(ticket).await?.choices;
        let logits = plain.step(position, &tokens);
        let [choice] = found.as_slice() else { return Err(wrong(gpu, "no token was chosen")) };
        compare(choice, &logits).map_err(|what| wrong(gpu, &what))?;
        position += tokens.len();
        tokens = vec![choice.token];
    }
    Ok(())
}

fn wrong(gpu: &Gpu, what: &str) -> BackendError {
    BackendError::NoAdapter { reason: format!("`{}` computes wrongly in a small test: {what}", gpu.facts.name) }
}

/// What is wrong about a choice that should have been made from these logits.
fn compare(found: &Choice, logits: &[f32]) -> Result<(), String> {
    let close = |what: &str, found: f32, expected: f32| {
        if (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0) {
            return Ok(());
        }
        Err(format!("{what} came out as {found} instead of {expected}"))
    };
    let best = sampling::top_candidates(logits, 16);
    if found.candidates.len() != best.len() {
        return Err(format!("{} candidates came back instead of {}", found.candidates.len(), best.len()));
    }
    for (rank, (Candidate { token, logit }, expected)) in found.candidates.iter().zip(&best).enumerate() {
        let Some(own) = logits.get(*token as usize) else {
            return Err(format!("token {token} came back, which does not exist"));
        };
        close(&format!("the logit of token {token}"), *logit, *own)?;
        // Those that are nearly equal may change places.
        close(&format!("the logit in place {rank}"), *logit, expected.logit)?;
    }
    close("the sum of all probabilities", found.log_sum_exp, sampling::log_sum_exp(logits))?;
    match sampling::choose(&sampling::top_candidates(logits, RULE.top_k), &RULE) {
        Some(token) if token == found.token => Ok(()),
        expected => Err(format!("token {} was chosen instead of {expected:?}", found.token)),
    }
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::BackendError;

    use super::run;
    use crate::adapter::{Fault, Gpu, GpuBackend, GpuOptions, Tuning};
    use crate::kernels::tiles::{PACKED_SMALL, Tiles};
    use crate::testing::each_gpu;

    #[test]
    fn sound_adapters_pass() {
        each_gpu(|gpu| {
            let start = std::time::Instant::now();
            pollster::block_on(run(gpu, None)).expect("the adapter computes rightly");
            println!("checked in {:?}", start.elapsed());
            if gpu.facts.packed_dots {
                let tiles = Some(Tiles { narrow: true, ..Tiles::only(PACKED_SMALL) });
                let tuning = Tuning { tiles, packed: true, ..gpu.tuning };
                let packed = Gpu { tuning, ..gpu.clone() };
                pollster::block_on(run(&packed, None)).expect("in packed integers too");
            }
        });
    }

    #[test]
    fn software_that_will_not_do_is_refused_before_it_computes() {
        for adapter in ["llvmpipe", "SwiftShader"] {
            let options = GpuOptions {
                adapter: Some(adapter.to_owned()),
                allow_software: false,
                fault: Some(Fault::WrongNumbers),
                ..GpuOptions::default()
            };
            match pollster::block_on(GpuBackend::probe(options)) {
                Err(BackendError::NoAdapter { reason }) if reason.contains("is called") => {
                    eprintln!("skipped: {adapter}: {reason}");
                }
                Err(BackendError::NoAdapter { reason }) => assert!(reason.contains("is software"), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_adapter_that_computes_wrongly_is_refused_with_the_reason() {
        each_gpu(|gpu| {
            let error = pollster::block_on(run(gpu, Some(Fault::WrongNumbers))).expect_err("a difference");
            let BackendError::NoAdapter { reason } = &error else { panic!("{error:?}") };
            assert!(reason.contains("computes wrongly") && reason.contains("instead of"), "{reason}");
            assert!(reason.contains(&gpu.facts.name), "{reason}");
        });
    }
}
