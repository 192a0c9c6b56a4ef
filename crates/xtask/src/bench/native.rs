//! The `nearside` command on the CPU against llama.cpp, in turn, each round in a process of its own.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::python;
use crate::build::{self, Part};
use crate::context::Context;
use crate::error::{Result, invalid};
use crate::models;
use crate::output;
use crate::run::Run;

const SCRIPT: &str = "tests/native/llama_cpp_bench.py";
const PACKAGES: [&str; 1] = ["llama-cpp-python==0.3.36"];

/// Ours must take at most twice the time.
const BAR: f64 = 0.5;

/// How it is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The models' ids.
    #[arg(default_values_t = ["smollm2".to_owned(), "qwen2.5".to_owned()])]
    models: Vec<String>,
    /// Rounds; each side warms up in each of them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// How long the prompt is.
    #[arg(long, default_value_t = 256)]
    prompt_tokens: usize,
    /// How many tokens are written.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Tokens a second.
#[derive(Debug, Clone, Copy)]
struct Speed {
    prefill: f64,
    decode: f64,
}

pub(super) fn run(context: &Context, options: &Options) -> Result<ExitCode> {
    if options.json {
        output::keep_for_result();
    }
    build::build(context, &[Part::Cli])?;
    let python = python::ensure(context, "llama-cpp", &PACKAGES)?;
    let mut rows = Vec::new();
    for id in &options.models {
        let file = models::ensure(context, id)?;
        for &threads in &options.threads {
            rows.push(compare(context, options, &python, &file, threads)?);
        }
    }
    if options.json {
        output::result(&json!({ "rounds": options.rounds, "rows": rows }).to_string());
    } else {
        for row in &rows {
            for figure in ["prefill", "decode"] {
                let Value::Object(found) = &row[figure] else { continue };
                output::result(&format!(
                    "{}, {} threads, {figure}: {} against {} tokens/s, {}x (at least {}x)",
                    row["model"].as_str().unwrap_or_default(),
                    row["threads"],
                    found["ours"],
                    found["theirs"],
                    found["ratio"],
                    found["bar"]
                ));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Both sides in turn; whoever is second finds a warmer machine, so they take turns at that too.
fn compare(context: &Context, options: &Options, python: &Path, file: &Path, threads: usize) -> Result<Value> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..options.rounds.max(1) {
        for turn in 0..2 {
            let (who, taken) = if (round + turn) % 2 == 0 { ("ours", &mut ours) } else { ("llama.cpp", &mut theirs) };
            let speed = if who == "ours" {
                nearside(context, options, file, threads)?
            } else {
                llama_cpp(context, options, python, file, threads)?
            };
            output::line(
                "native",
                &format!(
                    "{name}, {threads} threads, round {}: {who} {:.1} / {:.1}",
                    round + 1,
                    speed.prefill,
                    speed.decode
                ),
            );
            taken.push(speed);
        }
    }
    let figure = |pick: fn(&Speed) -> f64| {
        let (ours, theirs) = (median(ours.iter().map(pick)), median(theirs.iter().map(pick)));
        json!({ "ours": tenths(ours), "theirs": tenths(theirs), "ratio": (100.0 * ours / theirs).round() / 100.0, "bar": BAR })
    };
    Ok(json!({
        "model": name,
        "threads": threads,
        "prefill": figure(|speed| speed.prefill),
        "decode": figure(|speed| speed.decode),
    }))
}

fn nearside(context: &Context, options: &Options, file: &Path, threads: usize) -> Result<Speed> {
    let report = Run::new(context.program("nearside"))
        .args(["bench", "--json", "--backend", "cpu", "--rounds", "1", "--model"])
        .arg(file)
        .args(lengths(options))
        .args(["--threads", &threads.to_string()])
        .capture()?;
    let report = parse(&report)?;
    let median = |name: &str| number(&report[name]["median"]);
    Ok(Speed { prefill: median("prefill_tokens_per_second")?, decode: median("decode_tokens_per_second")? })
}

fn llama_cpp(context: &Context, options: &Options, python: &Path, file: &Path, threads: usize) -> Result<Speed> {
    let report = Run::new(python)
        .arg(context.in_root(SCRIPT))
        .arg(file)
        .args(lengths(options))
        .args(["--threads", &threads.to_string()])
        .capture()?;
    let report = parse(&report)?;
    Ok(Speed { prefill: number(&report["prefill"])?, decode: number(&report["decode"])? })
}

fn lengths(options: &Options) -> [String; 4] {
    let (prompt, tokens) = (options.prompt_tokens.to_string(), options.tokens.max(2).to_string());
    ["--prompt-tokens".to_owned(), prompt, "--tokens".to_owned(), tokens]
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| invalid("a bench's report", error))
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().ok_or_else(|| invalid("a bench's report", "a figure is missing"))
}

fn tenths(value: f64) -> f64 {
    (10.0 * value).round() / 10.0
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < 1e-9);
    }
}
