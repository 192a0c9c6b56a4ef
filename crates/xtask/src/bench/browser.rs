//! Our package against its peers in one browser, in turn, on the same model.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::work::Work;
use super::{kernels, onnx, peers, requantize};
use crate::build::{self, Part};
use crate::context::Context;
use crate::error::{Doing, Result, invalid};
use crate::models;
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool};
use crate::test;

/// How it is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    /// Rounds after the warm-up.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only comparisons whose `PEER/MODEL/THREADS` contains this.
    #[arg(long)]
    only: Option<String>,
}

/// The file of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weights {
    SmallQ4,
    SmallQ8,
    Large,
}

/// One comparison, run with each number of threads.
struct Case {
    peer: &'static str,
    weights: Weights,
    name: &'static str,
    prefill: f64,
    decode: f64,
    memory: Option<f64>,
}

const CASES: [Case; 4] = [
    Case { peer: "wllama", weights: Weights::SmallQ4, name: "135M-Q4_1", prefill: 8.0, decode: 5.0, memory: Some(0.8) },
    Case { peer: "wllama", weights: Weights::SmallQ8, name: "135M-Q8_0", prefill: 8.0, decode: 5.0, memory: Some(0.8) },
    Case { peer: "wllama", weights: Weights::Large, name: "1.5B-Q4_K_M", prefill: 4.5, decode: 4.0, memory: Some(0.8) },
    Case {
        peer: "transformers",
        weights: Weights::SmallQ8,
        name: "135M-Q8_0",
        prefill: 2.0,
        decode: 3.0,
        memory: None,
    },
];

const THREADS: [usize; 2] = [1, 2];

/// What the small model is called among the ONNX models.
const ONNX_MODEL: &str = "smollm2";

pub(super) fn run(context: &Context, options: &Options) -> Result<ExitCode> {
    if options.json {
        output::keep_for_result();
    }
    setup::ensure(context, &[Tool::Rust, Tool::Node, Tool::Npm, Tool::Chromium])?;
    let plan = plan(context, options)?;
    build::build(context, &[Part::Package])?;
    let path = super::folder(context).join(format!("browser-{}.json", std::process::id()));
    fs::write(&path, plan.to_string()).doing("write", &path)?;
    let script = Run::new("node")
        .arg(context.in_root("tests/browser/bench/browser-bench.mjs"))
        .arg("--plan")
        .arg(&path)
        .args(["--rounds", &options.rounds.max(1).to_string()])
        .args(options.json.then_some("--json"))
        .label("browser")
        .folder(context.root());
    let done = test::with_tools(context, script).and_then(super::report);
    fs::remove_file(&path).doing("remove", &path)?;
    done.map(|()| ExitCode::SUCCESS)
}

/// What the script is to do, with everything it needs brought.
fn plan(context: &Context, options: &Options) -> Result<Value> {
    let wanted = |case: &Case, threads: usize| {
        let name = format!("{}/{}/{threads}", case.peer, case.name);
        options.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    };
    let chosen: Vec<_> = CASES
        .iter()
        .flat_map(|case| THREADS.map(|threads| (case, threads)))
        .filter(|(case, threads)| wanted(case, *threads))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = CASES.iter().map(|case| format!("{}/{}/1", case.peer, case.name)).collect();
        return Err(invalid(
            "--only",
            format!("names no comparison; there are {}, and with 2 threads", names.join(", ")),
        ));
    }
    let mut mounts = serde_json::Map::new();
    let mut mount = |address: &str, folder: PathBuf| mounts.insert(address.to_owned(), json!(folder));
    if chosen.iter().any(|(case, _)| case.peer == peers::WLLAMA.name) {
        mount("/peers/wllama/", peers::WLLAMA.ensure(context)?);
    }
    if chosen.iter().any(|(case, _)| case.peer == peers::TRANSFORMERS.name) {
        mount("/peers/transformers/", peers::TRANSFORMERS.ensure(context)?);
        mount("/peers/onnxruntime-web/", peers::ONNX_RUNTIME.ensure(context)?);
        let small = models::ensure(context, models::DEFAULT)?;
        mount("/onnx/", onnx::ensure(context, &small, ONNX_MODEL)?);
    }
    let cases: Result<Vec<Value>> = chosen
        .iter()
        .map(|(case, threads)| {
            let file = file(context, case.weights)?;
            Ok(json!({
                "peer": case.peer,
                "model": case.name,
                "threads": threads,
                "work": Work::of(&file)?,
                "file": file,
                "folder": ONNX_MODEL,
                "bars": { "prefill": case.prefill, "decode": case.decode, "peak_mib": case.memory },
            }))
        })
        .collect();
    Ok(json!({ "mounts": mounts, "limits": kernels::program(context)?, "cases": cases? }))
}

fn file(context: &Context, weights: Weights) -> Result<PathBuf> {
    match weights {
        Weights::SmallQ4 => models::ensure(context, models::DEFAULT),
        Weights::SmallQ8 => {
            let small = models::ensure(context, models::DEFAULT)?;
            requantize::ensure(context, &small, "SmolLM2-135M-Instruct.Q8_0.gguf")
        }
        Weights::Large => models::ensure(context, "qwen2.5"),
    }
}
