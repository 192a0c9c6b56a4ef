//! Figures that anyone can measure again.

mod browser;
mod kernels;
mod load;
mod native;
mod onnx;
mod peers;
mod python;
mod requantize;
mod size;
mod vocabulary;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::context::Context;
use crate::error::{Result, XtaskError};
use crate::output;
use crate::run::Run;

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// Prefill, decode and memory in the browser, in turn with wllama and transformers.js.
    Browser(browser::Options),
    /// Loading a model in the browser: the time, the first token, and the most wasm memory that it took.
    Load(load::Options),
    /// The CPU's kernels in the browser, beside what the machine can do at most.
    Kernels {
        /// Only weights stored so, such as `Q4_K`.
        formats: Vec<String>,
    },
    /// Prefill and decode of the `nearside` command on the CPU, in turn with llama.cpp.
    Native(native::Options),
    /// What a page downloads besides weights, with the peers' beside it.
    Size {
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Loading the largest vocabularies: header and tokenizer natively and as WebAssembly, the best of five, and in Chromium
    /// from the page's private files to the first weight.
    Vocabulary,
}

/// Measures and prints.
pub(crate) fn bench(context: &Context, bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Browser(options) => browser::run(context, options),
        Bench::Kernels { formats } => kernels::run(context, formats),
        Bench::Load(options) => load::run(context, options),
        Bench::Native(options) => native::run(context, options),
        Bench::Size { json } => size::run(context, *json),
        Bench::Vocabulary => vocabulary::run(context),
    }
}

/// Runs a script that tells what it is doing as it goes, and prints what it found: the lines that begin with `result:`.
fn report(run: Run) -> Result<()> {
    let mut lines = Vec::new();
    let shown = run.shown().to_owned();
    run.stream_with(|line| lines.extend(line.strip_prefix("result:").map(str::to_owned)))?;
    if lines.is_empty() {
        return Err(XtaskError::Stopped(format!("`{shown}` printed no result")));
    }
    output::result(&lines.join("\n"));
    Ok(())
}

/// Where peers and files that only measurements need are kept.
fn folder(context: &Context) -> PathBuf {
    context.cache().join("bench")
}
