//! `nearside bench`: how fast a model loads, reads and writes here.

use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use nearside_engine::backend::{Counters, TokenId};
use nearside_engine::{Engine, EngineError, GenerateOptions, Sampling};
use nearside_gguf::{ByteSource, Gguf};
use nearside_text::SpecialTokens;
use serde::Serialize;

use crate::arguments::{CommonArguments, ModelArguments, SpeculationArgument, positive, speculation};
use crate::backend::BackendReport;
use crate::failure::Failure;
use crate::generate::{Moment, generate, milliseconds};
use crate::interrupt::Interrupt;
use crate::kernels;
use crate::machine::Machine;
use crate::model::{Opened, open, read_table};
use crate::output::{self, size};
use crate::progress::Progress;
use crate::speculate;

/// The examples below the options.
const EXAMPLES: &str = "\
Examples:
  nearside bench --model smollm2.gguf
  nearside bench --model qwen.gguf --backend cpu --prompt-tokens 64 --tokens 32 --rounds 3 --json
  nearside bench --model qwen-1.5b.gguf --backend gpu --kernels --json
  nearside bench --model qwen-1.5b.gguf --speculate lookup
  nearside bench --model qwen-1.5b.gguf --speculate qwen-0.5b.gguf --tokens 128";

/// Ordinary words, repeated to whatever length a prompt is to have.
const TEXT: &str = "The river rises in the hills to the north, turns east below the old mill, and reaches the sea after \
two hundred miles. Along its banks people have kept orchards, built boats, and argued about the price of salt. ";

/// Measure loading, prefill and decoding
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    /// How long the prompt is
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = positive)]
    prompt_tokens: usize,

    /// How many tokens are generated
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = at_least_two)]
    tokens: usize,

    /// How often, after one round of warming up
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = positive)]
    rounds: usize,

    /// Measure speculation instead: a passage is copied out of the prompt with and without it
    #[arg(long, value_name = "lookup|FILE", value_parser = speculation)]
    speculate: Option<SpeculationArgument>,

    /// Time each kernel of a prefill and a decode step on the GPU instead, beside plain copies
    #[arg(long, conflicts_with = "speculate")]
    kernels: bool,
}

/// How often a model is loaded to see what its first question takes longer than its second.
const FRESH: usize = 3;

/// A median and what lies around it.
#[derive(Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    minimum: f64,
    maximum: f64,
}

/// What one decoded token asks of the device.
#[derive(Debug, Serialize)]
struct PerToken {
    steps: f64,
    submits: f64,
    passes: f64,
    dispatches: f64,
    /// Those within layers.
    dispatches_per_layer: f64,
    blocking_syncs: f64,
    late_resources: f64,
    /// What the kernels read of the weights, where the backend counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_bytes: Option<f64>,
    /// That by what the file stores of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_bytes_ratio: Option<f64>,
}

#[derive(Serialize)]
struct Report {
    model: String,
    architecture: String,
    quantization: String,
    parameters: u64,
    file_bytes: u64,
    backend: BackendReport,
    machine: Machine,
    prompt_tokens: usize,
    tokens: usize,
    rounds: usize,
    load_ms: f64,
    prefill_tokens_per_second: Spread,
    decode_tokens_per_second: Spread,
    first_token_ms: Spread,
    first_question_ms: Spread,
    second_question_ms: Spread,
    weight_bytes_per_token: u64,
    weight_gigabytes_per_second: f64,
    resident_weight_bytes: u64,
    per_token: PerToken,
    late_resources: u64,
}

/// One round's figures.
struct Round {
    first_token: Duration,
    decode: Duration,
    counters: Counters,
}

fn at_least_two(text: &str) -> Result<usize, String> {
    match positive(text)? {
        1 => Err("it must be at least 2: a rate is measured from the first token on".to_owned()),
        number => Ok(number),
    }
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments, common: CommonArguments, interrupt: &Interrupt) -> Result<(), Failure> {
    if arguments.kernels {
        let counts = (arguments.prompt_tokens, arguments.rounds);
        return kernels::run(&arguments.model, counts, common, interrupt).await;
    }
    let (source, gguf) = read_table(&arguments.model.model)?;
    let Opened { mut engine, load, .. } = open(&arguments.model, common, interrupt).await?;
    if let Some(source) = &arguments.speculate {
        let rounds = (arguments.tokens, arguments.rounds);
        return speculate::run(engine, source, &arguments.model, rounds, common, interrupt).await;
    }
    let room = engine.info().context;
    if arguments.prompt_tokens + arguments.tokens > room {
        return Err(Failure::Usage(format!(
            "a prompt of {} and {} more tokens do not fit into the context of {room}; lower --prompt-tokens or --tokens, or raise --context",
            arguments.prompt_tokens, arguments.tokens
        )));
    }
    let prompt = prompt(&engine, arguments.prompt_tokens)?;

    let mut questions = Vec::with_capacity(FRESH);
    for number in 1..=FRESH {
        if number > 1 {
            // Two of them need not fit side by side.
            drop(engine);
            engine = open(&arguments.model, common, interrupt).await?.engine;
        }
        let mut progress = Progress::new();
        let mut ask = async |which: &str| {
            let name = format!("freshly loaded, {number} of {FRESH}, {which} question");
            round(&mut engine, &prompt, 1, interrupt, |part| progress.show(|| format!("{name}: {part}"))).await
        };
        let first = ask("first").await?;
        questions.push((first, ask("second").await?));
    }
    let question =
        |pick: fn(&(Round, Round)) -> &Round| spread(questions.iter().map(|both| milliseconds(pick(both).first_token)));
    let mut progress = Progress::new();
    let mut show = |what: String| progress.show(|| what);
    // Warms decoding up.
    round(&mut engine, &prompt, arguments.tokens, interrupt, |part| show(format!("warm-up: {part}"))).await?;
    // Says what a round without decoding asks of the device.
    let prefill_only = round(&mut engine, &prompt, 1, interrupt, |part| show(format!("prefill: {part}"))).await?;
    let mut rounds = Vec::with_capacity(arguments.rounds);
    let late_before = engine.counters().late_resources;
    for number in 1..=arguments.rounds {
        let name = format!("round {number} of {}", arguments.rounds);
        rounds.push(
            round(&mut engine, &prompt, arguments.tokens, interrupt, |part| show(format!("{name}: {part}"))).await?,
        );
    }
    drop(progress);

    let decoded = arguments.tokens - 1;
    let decode = spread(rounds.iter().map(|round| decoded as f64 / round.decode.as_secs_f64()));
    let weight_bytes_per_token = weight_bytes_per_token(&gguf);
    let info = engine.info();
    let per_token = |pick: fn(&Counters) -> u64| {
        let all: u64 = rounds.iter().map(|round| pick(&round.counters)).sum();
        let prefill = pick(&prefill_only.counters) * rounds.len() as u64;
        hundredths(all.saturating_sub(prefill) as f64 / (decoded * rounds.len()) as f64)
    };
    let weight_bytes = Some(per_token(|counters| counters.weight_bytes_read)).filter(|bytes| *bytes > 0.0);
    let report = Report {
        model: info.name.clone(),
        architecture: info.architecture.clone(),
        quantization: info.quantization.clone(),
        parameters: info.parameters,
        file_bytes: source.len(),
        backend: BackendReport::from(&info.backend),
        machine: Machine::here(),
        prompt_tokens: arguments.prompt_tokens,
        tokens: arguments.tokens,
        rounds: arguments.rounds,
        load_ms: milliseconds(load),
        prefill_tokens_per_second: spread(
            rounds.iter().map(|round| prompt.len() as f64 / round.first_token.as_secs_f64()),
        ),
        weight_gigabytes_per_second: hundredths(weight_bytes_per_token as f64 * decode.median / 1e9),
        decode_tokens_per_second: decode,
        first_token_ms: spread(rounds.iter().map(|round| milliseconds(round.first_token))),
        first_question_ms: question(|(first, _)| first),
        second_question_ms: question(|(_, second)| second),
        weight_bytes_per_token,
        resident_weight_bytes: engine.counters().weight_bytes,
        per_token: PerToken {
            steps: per_token(|counters| counters.steps),
            submits: per_token(|counters| counters.submits),
            passes: per_token(|counters| counters.passes),
            dispatches: per_token(|counters| counters.dispatches),
            dispatches_per_layer: hundredths(
                per_token(|counters| counters.layer_dispatches) / info.layers.max(1) as f64,
            ),
            blocking_syncs: per_token(|counters| counters.blocking_syncs),
            late_resources: per_token(|counters| counters.late_resources),
            weight_bytes,
            weight_bytes_ratio: weight_bytes.map(|bytes| thousandths(bytes / weight_bytes_per_token as f64)),
        },
        late_resources: engine.counters().late_resources - late_before,
    };
    if common.json { output::write_json(&report) } else { output::write(&report.text()) }
}

/// Exactly so many tokens of ordinary text.
fn prompt(engine: &Engine, length: usize) -> Result<Vec<TokenId>, Failure> {
    let special = SpecialTokens { add: true, parse: false };
    let mut repeats = length / 32 + 1;
    loop {
        let mut tokens = engine.tokenizer().encode(&TEXT.repeat(repeats), special).map_err(EngineError::from)?;
        if tokens.len() >= length {
            tokens.truncate(length);
            return Ok(tokens);
        }
        repeats *= 2;
    }
}

async fn round(
    engine: &mut Engine,
    prompt: &[TokenId],
    tokens: usize,
    interrupt: &Interrupt,
    mut show: impl FnMut(String),
) -> Result<Round, Failure> {
    let mut session = engine.create_session()?;
    let options = GenerateOptions {
        sampling: Sampling::greedy(),
        max_tokens: tokens,
        ignore_end: true,
        ..GenerateOptions::default()
    };
    let before = engine.counters();
    let mut done = 0;
    let outcome = generate(engine, &mut session, prompt, options, |moment| {
        match moment {
            Moment::Prefill(done, total) => show(format!("prefill, {done} of {total} tokens")),
            Moment::Token(..) => {
                done += 1;
                show(format!("decode, {done} of {tokens} tokens"));
            }
            Moment::Tail(_) | Moment::Slid(_) => {}
        }
        Ok(if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .await;
    let counters = difference(engine.counters(), before);
    engine.close_session(session);
    interrupt.check()?;
    let outcome = outcome?;
    Ok(Round { first_token: outcome.first_token.unwrap_or_default(), decode: outcome.decode, counters })
}

fn difference(after: Counters, before: Counters) -> Counters {
    Counters {
        steps: after.steps - before.steps,
        submits: after.submits - before.submits,
        passes: after.passes - before.passes,
        dispatches: after.dispatches - before.dispatches,
        layer_dispatches: after.layer_dispatches - before.layer_dispatches,
        weight_bytes: after.weight_bytes,
        late_resources: after.late_resources - before.late_resources,
        blocking_syncs: after.blocking_syncs - before.blocking_syncs,
        weight_bytes_read: after.weight_bytes_read - before.weight_bytes_read,
    }
}

/// What one decoded token reads: everything but a separate embedding table, of which it reads one row.
fn weight_bytes_per_token(gguf: &Gguf) -> u64 {
    let separate = gguf.tensor("output.weight").is_some();
    gguf.tensors
        .iter()
        .filter(|tensor| !(separate && tensor.name == "token_embd.weight"))
        .map(|tensor| tensor.size)
        .sum()
}

pub(crate) fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

pub(crate) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Sorts and picks; of an even number the mean of the middle two.
pub(crate) fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = match values.as_slice() {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[middle],
        values => f64::midpoint(values[middle - 1], values[middle]),
    };
    Spread {
        median: hundredths(median),
        minimum: hundredths(values.first().copied().unwrap_or(f64::NAN)),
        maximum: hundredths(values.last().copied().unwrap_or(f64::NAN)),
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({} to {})", self.median, self.minimum, self.maximum)
    }
}

impl Report {
    fn text(&self) -> String {
        let cpu = self.machine.cpu.as_deref().unwrap_or(self.machine.architecture);
        let per_token = &self.per_token;
        format!(
            "model          {} ({}, {}, {:.1} million parameters, {})\n\
             backend        {}\n\
             machine        {cpu}, {} threads, {}\n\
             load           {:.0} ms\n\
             prefill        {} tokens/s, {} tokens, median of {} rounds\n\
             first token    {} ms; of the first question {} ms, of the same again {} ms\n\
             decode         {} tokens/s, {} tokens\n\
             weights read   {} a token, {} GB/s{}\n\
             a token takes  {} submits, {} passes, {} dispatches ({} a layer), {} waits, {} new resources\n\
             late resources {}\n",
            self.model,
            self.architecture,
            self.quantization,
            self.parameters as f64 / 1e6,
            size(self.file_bytes),
            self.backend,
            self.machine.threads,
            self.machine.system,
            self.load_ms,
            self.prefill_tokens_per_second,
            self.prompt_tokens,
            self.rounds,
            self.first_token_ms,
            self.first_question_ms,
            self.second_question_ms,
            self.decode_tokens_per_second,
            self.tokens,
            size(self.weight_bytes_per_token),
            self.weight_gigabytes_per_second,
            per_token.weight_bytes_ratio.map_or_else(String::new, |ratio| format!(", {ratio} of what is stored")),
            per_token.submits,
            per_token.passes,
            per_token.dispatches,
            per_token.dispatches_per_layer,
            per_token.blocking_syncs,
            per_token.late_resources,
            self.late_resources,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn a_spread_is_median_and_ends() {
        let odd = spread([3.0, 1.0, 2.0].into_iter());
        assert_eq!((odd.median, odd.minimum, odd.maximum), (2.0, 1.0, 3.0));
        assert!((spread([4.0, 1.0].into_iter()).median - 2.5).abs() < 1e-9);
    }
}
