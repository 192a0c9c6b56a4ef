//! The Worker, built by worker-build with the tools that the cache and the npm packages bring.

use std::env;
use std::ffi::OsString;
use std::fs;

use super::stamp::Stamp;
use crate::context::Context;
use crate::error::{Doing, Result, XtaskError, invalid};
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
    Run::cargo_native(context, "build").args(["--bin", "nearside-bindgen"]).stream()?;
    let shim = shim(context)?;
    Run::new(WORKER_BUILD.program(context))
        .args(["--release", "--panic-unwind"])
        .env("PATH", shim)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", context.worker_target())
        .env("WASM_BINDGEN_BIN", context.program("nearside-bindgen"))
        .env("WASM_OPT_BIN", context.node_program("wasm-opt"))
        .env("ESBUILD_BIN", context.node_program("esbuild"))
        .label("worker")
        .folder(&folder)
        .stream()?;
    stamp.write()
}

/// A `PATH` on which `cargo +nightly` is the installed stable compiler with unstable options allowed.
///
/// Unwinding needs a standard library built for it. worker-build asks for a nightly toolchain to do that; the stable
/// one with `RUSTC_BOOTSTRAP` does the same with the compiler that everything else is built with.
fn shim(context: &Context) -> Result<OsString> {
    let folder = context.stamps().join("shim");
    fs::create_dir_all(&folder).doing("make the folder", &folder)?;
    let path = env::var_os("PATH").unwrap_or_default();
    for name in ["cargo", "rustc"] {
        let real = env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
        let real = real.ok_or_else(|| XtaskError::Missing {
            what: name.to_owned(),
            remedy: "the installer of https://rustup.rs".to_owned(),
        })?;
        let script = format!("#!/bin/sh\n[ \"$1\" = +nightly ] && shift\nexec '{}' \"$@\"\n", real.display());
        super::script(&folder.join(name), &script)?;
    }
    // Asked only whether rust-src is there, which setup has seen to.
    super::script(&folder.join("rustup"), "#!/bin/sh\necho 'rust-src (installed)'\n")?;
    env::join_paths([folder.clone()].into_iter().chain(env::split_paths(&path)))
        .map_err(|error| invalid(folder.display(), error))
}
