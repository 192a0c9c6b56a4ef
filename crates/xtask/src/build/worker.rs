//! The Worker, built by worker-build with the tools that the cache and the npm packages bring.

use super::stamp::Stamp;
use crate::context::Context;
use crate::error::Result;
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool, WORKER_BUILD};

pub(super) fn build(context: &Context) -> Result<()> {
    setup::ensure(context, &[Tool::Rust, Tool::WasmBindgen, Tool::Node, Tool::Npm, Tool::WorkerBuild])?;
    let folder = context.in_root("worker");
    let inputs = ["worker/Cargo.toml", "worker/src", "crates/route", "crates/wire", "Cargo.lock", "Cargo.toml"];
    let stamp = Stamp::of(context, "worker", &inputs.map(|path| context.in_root(path)), &[])?;
    if stamp.fresh() && folder.join("build").is_dir() {
        output::line("worker", "up to date");
        return Ok(());
    }
    Run::cargo(&context.target())
        .args(["build", "--locked", "--package", "xtask", "--bin", "nearside-bindgen"])
        .folder(context.root())
        .stream()?;
    Run::new(WORKER_BUILD.program(context))
        .args(["--release", "--panic-unwind"])
        .env("CARGO_TARGET_DIR", context.worker_target())
        .env("WASM_BINDGEN_BIN", context.program("nearside-bindgen"))
        .env("WASM_OPT_BIN", context.node_program("wasm-opt"))
        .env("ESBUILD_BIN", context.node_program("esbuild"))
        .label("worker")
        .folder(&folder)
        .stream()?;
    stamp.write()
}
