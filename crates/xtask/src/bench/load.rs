//! Loading a model in the page, and the next turn of a long conversation.

use std::fs;
use std::process::ExitCode;

use serde_json::json;

use super::peers;
use crate::build::{self, Part};
use crate::context::Context;
use crate::error::{Doing, Result};
use crate::models;
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool};
use crate::test;

/// How it is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The model's id; the default is the largest that the project is tested with.
    #[arg(long, default_value = "qwen2.5")]
    model: String,
    /// Where the weights go when the memory is measured: gpu or cpu.
    #[arg(long, default_value = "gpu")]
    backend: String,
    /// Measure the memory alone, without the peer and the long conversation.
    #[arg(long)]
    memory_only: bool,
    /// Rounds of loading, each in a page of its own.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, options: &Options) -> Result<ExitCode> {
    if options.json {
        output::keep_for_result();
    }
    setup::ensure(context, &[Tool::Node, Tool::Npm, Tool::Chromium])?;
    let file = models::ensure(context, &options.model)?;
    let mut mounts = serde_json::Map::new();
    if !options.memory_only {
        mounts.insert("/peers/wllama/".to_owned(), json!(peers::WLLAMA.ensure(context)?));
    }
    build::build(context, &[Part::Package])?;
    let plan = json!({
        "mounts": mounts,
        "file": file,
        "backend": options.backend,
        "rounds": if options.memory_only { 0 } else { options.rounds.max(1) },
    });
    let folder = super::folder(context);
    fs::create_dir_all(&folder).doing("make the folder", &folder)?;
    let path = folder.join(format!("load-{}.json", std::process::id()));
    fs::write(&path, plan.to_string()).doing("write", &path)?;
    let script = Run::new("node")
        .arg(context.in_root("tests/browser/bench/load-bench.mjs"))
        .arg("--plan")
        .arg(&path)
        .args(options.json.then_some("--json"))
        .label("load")
        .folder(context.root());
    let done = test::with_tools(context, script).and_then(super::report);
    fs::remove_file(&path).doing("remove", &path)?;
    done.map(|()| ExitCode::SUCCESS)
}
