//! The CPU backend's kernels in Chromium, each beside what the machine can do at most.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::context::Context;
use crate::error::Result;
use crate::run::Run;
use crate::setup::{self, Tool};
use crate::test;

/// The program that measures, as WebAssembly with the relaxed instructions.
pub(super) fn program(context: &Context) -> Result<PathBuf> {
    let target = context.wasm_target().join("relaxed");
    Run::cargo(&target)
        .args(["build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip1"])
        .args(["--package", "nearside-cpu", "--example", "kernels"])
        .env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", "-Ctarget-feature=+simd128,+relaxed-simd")
        .label("kernels")
        .folder(context.root())
        .stream()?;
    Ok(target.join("wasm32-wasip1/release/examples/kernels.wasm"))
}

pub(super) fn run(context: &Context, formats: &[String]) -> Result<ExitCode> {
    setup::ensure(context, &[Tool::Rust, Tool::Node, Tool::Npm, Tool::Chromium])?;
    let script = Run::new("node")
        .arg(context.in_root("tests/browser/bench/kernels-bench.mjs"))
        .arg("--program")
        .arg(program(context)?)
        .args(formats)
        .label("kernels")
        .folder(context.root());
    super::report(test::with_tools(context, script)?)?;
    Ok(ExitCode::SUCCESS)
}
