//! Figures that anyone can measure again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::build::{self, Part};
use crate::context::Context;
use crate::error::{Doing, Result};
use crate::models;
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool};
use crate::test;

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// Loading a model in the browser: the time, and the most wasm memory that it took.
    Load {
        /// The model's id; the default is the largest that the project is tested with.
        #[arg(long, default_value = "qwen2.5")]
        model: String,
        /// Where the weights go: gpu or cpu.
        #[arg(long, default_value = "gpu")]
        backend: String,
    },
    /// What a page downloads before the first model byte: raw, gzip and brotli.
    Size,
}

/// Measures and prints.
pub(crate) fn bench(context: &Context, bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Load { model, backend } => load(context, model, backend),
        Bench::Size => size(context),
    }
}

fn load(context: &Context, model: &str, backend: &str) -> Result<ExitCode> {
    setup::ensure(context, &[Tool::Node, Tool::Npm, Tool::Chromium])?;
    let file = models::ensure(context, model)?;
    build::build(context, &[Part::Package])?;
    let run = Run::new("node")
        .arg(context.in_root("tests/browser/load-bench.mjs"))
        .arg("--model")
        .arg(file)
        .args(["--backend", backend])
        .label("load")
        .folder(context.root());
    test::with_tools(context, run)?.stream()?;
    Ok(ExitCode::SUCCESS)
}

/// Node carries both compressors, at their strongest as a careful host would use them.
const COMPRESS: &str = "
const { readFileSync } = require('node:fs');
const { brotliCompressSync, gzipSync } = require('node:zlib');
let total = [0, 0, 0];
const row = (name, sizes) => console.log(name.padEnd(48), ...sizes.map((size) => String(size).padStart(10)));
row('bytes', ['raw', 'gzip -9', 'brotli -11']);
for (const file of process.argv.slice(2)) {
  const bytes = readFileSync(file);
  const sizes = [bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length];
  total = total.map((sum, index) => sum + sizes[index]);
  row(file, sizes);
}
row('total', total);
";

fn size(context: &Context) -> Result<ExitCode> {
    build::build(context, &[Part::Demo])?;
    let root = context.in_root("web/demo/dist");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    let names = files.iter().filter_map(|file| file.strip_prefix(&root).ok());
    let table = Run::new("node").args(["--eval", COMPRESS, "--", "size"]).args(names).folder(&root).capture()?;
    output::say(&table);
    Ok(ExitCode::SUCCESS)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).doing("read the folder", folder)? {
        let path = entry.doing("read the folder", folder)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_none_or(|ending| ending != "map") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}
