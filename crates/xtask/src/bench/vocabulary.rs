//! How long the largest vocabularies take to load, natively and as WebAssembly.

use std::path::Path;
use std::process::ExitCode;

use crate::context::Context;
use crate::error::Result;
use crate::models;
use crate::run::Run;
use crate::setup::{self, Tool};

/// The tokenizers with 128k to 262k tokens among the reference's.
const VOCABULARIES: [&str; 4] = ["llama-bpe", "qwen2", "qwen35", "gemma-4"];

pub(super) fn run(context: &Context) -> Result<ExitCode> {
    setup::ensure(context, &[Tool::Rust, Tool::Node])?;
    models::ensure_vocabularies(context);
    let runner = format!("node --no-warnings {}", context.in_root("crates/xtask/wasi.mjs").display());
    let example = |target: &Path| {
        Run::cargo(target)
            .args(["run", "--quiet", "--locked", "--release", "--package", "nearside-text", "--example", "load"])
            .folder(context.root())
    };
    for name in VOCABULARIES {
        let file = context.vocabularies().join(format!("ggml-vocab-{name}.gguf"));
        example(&context.target()).arg("--").arg(&file).label(&format!("{name}, native")).stream()?;
        example(&context.wasm_target())
            .args(["--target", "wasm32-wasip1", "--"])
            .arg(&file)
            .env("CARGO_TARGET_WASM32_WASIP1_RUNNER", &runner)
            .env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", "-Ctarget-feature=+simd128")
            .label(&format!("{name}, wasm"))
            .stream()?;
    }
    Ok(ExitCode::SUCCESS)
}
