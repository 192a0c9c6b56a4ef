//! `nearside bench --kernels`: how long each kernel of a step takes on the GPU.

use std::fmt::Write;
use std::ops::ControlFlow;

use nearside_engine::architectures;
use nearside_engine::backend::{Backend, BackendError, ExecutorOptions, TokenId, WeightFile};
use nearside_gpu::{CopyTime, GpuBackend, KernelTime, StepTimes};
use serde::Serialize;

use crate::arguments::{BackendName, CommonArguments, ModelArguments};
use crate::backend::{BackendReport, probe};
use crate::bench::{hundredths, thousandths};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::machine::Machine;
use crate::model::read_table;
use crate::output::{self, size};
use crate::progress::Progress;

#[derive(Serialize)]
struct Report {
    model: String,
    backend: BackendReport,
    machine: Machine,
    prompt_tokens: usize,
    rounds: usize,
    copy: Copy,
    decode: Step,
    prefill: Step,
}

#[derive(Serialize)]
struct Copy {
    bytes: u64,
    microseconds: f64,
    gigabytes_per_second: f64,
}

#[derive(Serialize)]
struct Step {
    tokens: usize,
    position: usize,
    dispatches: usize,
    /// As it is in an answer, in one pass.
    microseconds: f64,
    /// The sum over its kernels, each call in a pass of its own.
    kernel_microseconds: f64,
    tokens_per_second: f64,
    kernels: Vec<Kernel>,
}

#[derive(Serialize)]
struct Kernel {
    #[serde(rename = "kernel")]
    name: &'static str,
    shape: String,
    count: usize,
    microseconds: f64,
    microseconds_each: f64,
    /// Of the sum over the step's kernels.
    share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    matrix: Option<Product>,
}

/// What a kernel with a matrix reaches.
#[derive(Serialize)]
struct Product {
    weight_bytes_each: u64,
    gigabytes_per_second: f64,
    /// That by the GB/s of the large copy.
    fraction_of_copy: f64,
    teraflops_per_second: f64,
    /// A plain copy that moves as many bytes as one call reads.
    copy_microseconds_each: f64,
    /// What that takes by what a call takes.
    fraction_of_same_copy: f64,
}

/// Runs the measurement.
pub(crate) async fn run(
    model: &ModelArguments,
    (prompt_tokens, rounds): (usize, usize),
    common: CommonArguments,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    if common.backend == Some(BackendName::Cpu) || !model.lora.is_empty() {
        return Err(Failure::Usage(
            "--kernels times the GPU's kernels of the model alone; leave out --backend cpu and --lora".to_owned(),
        ));
    }
    let (source, gguf) = read_table(&model.model)?;
    let defaults = nearside_engine::EngineOptions::default();
    let context = model.context.or(defaults.context).unwrap_or(prompt_tokens + 64);
    if prompt_tokens >= context {
        return Err(Failure::Usage(format!(
            "a prompt of {prompt_tokens} and a token more do not fit into the context of {context}; lower --prompt-tokens or raise --context"
        )));
    }
    let (_, graph) = architectures::build(&gguf, &source, context)?;
    let backend: GpuBackend = probe(common).await?;
    let batch = backend.batch().min(context);
    let options = ExecutorOptions { context, batch, choices: 1, cache: model.cache.into() };
    let mut progress = Progress::new();
    let mut report = |done: u64, total: u64| {
        progress.show(|| format!("loading {}: {} of {}", model.model.display(), size(done), size(total)));
        if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    // What the tokens are makes no difference to the time.
    let prompt: Vec<TokenId> = (0..prompt_tokens).map(|index| (index * 7 % graph.vocabulary) as TokenId).collect();
    let file = WeightFile { gguf: &gguf, bytes: &source };
    let times = backend.time_kernels(&graph, file, options, &prompt, rounds, &mut report).await;
    drop(progress);
    let times = times.map_err(|error| match error {
        BackendError::Cancelled => Failure::Interrupted,
        other => other.into(),
    })?;
    let copy = Copy {
        bytes: times.copy.bytes,
        microseconds: hundredths(times.copy.microseconds),
        gigabytes_per_second: hundredths(gigabytes(times.copy.bytes, times.copy.microseconds)),
    };
    let report = Report {
        model: gguf.metadata.text_if_present("general.name").ok().flatten().unwrap_or_default().to_owned(),
        backend: BackendReport::from(&backend.describe()),
        machine: Machine::here(),
        prompt_tokens,
        rounds,
        copy,
        decode: step(&times.decode, times.copy),
        prefill: step(&times.prefill, times.copy),
    };
    if common.json { output::write_json(&report) } else { output::write(&report.text()) }
}

/// Bytes in microseconds as GB/s.
fn gigabytes(bytes: u64, microseconds: f64) -> f64 {
    if microseconds > 0.0 { bytes as f64 / microseconds / 1e3 } else { 0.0 }
}

fn step(times: &StepTimes, copy: CopyTime) -> Step {
    let sum: f64 = times.kernels.iter().map(|kernel| kernel.microseconds).sum();
    Step {
        tokens: times.rows,
        position: times.position,
        dispatches: times.dispatches,
        microseconds: hundredths(times.microseconds),
        kernel_microseconds: hundredths(sum),
        tokens_per_second: if times.microseconds > 0.0 {
            hundredths(times.rows as f64 / times.microseconds * 1e6)
        } else {
            0.0
        },
        kernels: times.kernels.iter().map(|kernel| line(kernel, sum, copy)).collect(),
    }
}

fn line(time: &KernelTime, sum: f64, copy: CopyTime) -> Kernel {
    let each = time.microseconds / time.count.max(1) as f64;
    let rate = gigabytes(time.weight_bytes, each);
    let matrix = time.copy_microseconds.map(|same| Product {
        weight_bytes_each: time.weight_bytes,
        gigabytes_per_second: hundredths(rate),
        fraction_of_copy: thousandths(rate / gigabytes(copy.bytes, copy.microseconds).max(f64::MIN_POSITIVE)),
        teraflops_per_second: thousandths(2.0 * gigabytes(time.products, each) / 1e3),
        copy_microseconds_each: hundredths(same),
        fraction_of_same_copy: thousandths(if each > 0.0 { same / each } else { 0.0 }),
    });
    Kernel {
        name: time.kernel,
        shape: time.shape.clone(),
        count: time.count,
        microseconds: hundredths(time.microseconds),
        microseconds_each: hundredths(each),
        share: if sum > 0.0 { (time.microseconds / sum * 1e6).round() / 1e6 } else { 0.0 },
        matrix,
    }
}

impl Report {
    fn text(&self) -> String {
        let mut text = format!(
            "{}\n{}\na plain copy moves {} in {} \u{b5}s: {} GB/s, read and written bytes counted\n",
            self.model,
            self.backend,
            size(self.copy.bytes),
            self.copy.microseconds,
            self.copy.gigabytes_per_second,
        );
        for (name, step) in [("decode", &self.decode), ("prefill", &self.prefill)] {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "\n{name}: {} tokens at position {}, {} dispatches, {} \u{b5}s in one pass ({} tokens/s), {} \u{b5}s apart\n\
                 {:<18} {:<22} {:>5} {:>10} {:>9} {:>7} {:>8} {:>8} {:>9} {:>9}",
                step.tokens,
                step.position,
                step.dispatches,
                step.microseconds,
                step.tokens_per_second,
                step.kernel_microseconds,
                "kernel",
                "shape",
                "count",
                "\u{b5}s",
                "\u{b5}s each",
                "share",
                "GB/s",
                "of copy",
                "same copy",
                "TFLOP/s",
            );
            for kernel in &step.kernels {
                let _ = write!(
                    text,
                    "{:<18} {:<22} {:>5} {:>10} {:>9} {:>6.1}%",
                    kernel.name,
                    kernel.shape,
                    kernel.count,
                    kernel.microseconds,
                    kernel.microseconds_each,
                    kernel.share * 100.0,
                );
                if let Some(product) = &kernel.matrix {
                    let _ = write!(
                        text,
                        " {:>8} {:>8} {:>9} {:>9}",
                        product.gigabytes_per_second,
                        product.fraction_of_copy,
                        product.fraction_of_same_copy,
                        product.teraflops_per_second,
                    );
                }
                text.push('\n');
            }
        }
        text
    }
}
