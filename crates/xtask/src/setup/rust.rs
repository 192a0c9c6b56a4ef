//! The parts of the Rust toolchain that a plain rustup installation lacks.

use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::error::{Result, XtaskError};
use crate::run::Run;

const TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip1"];
const COMPONENTS: [&str; 3] = ["rust-src", "rustfmt", "clippy"];

pub(super) fn present(context: &Context) -> Result<bool> {
    let sysroot = PathBuf::from(Run::new("rustc").args(["--print", "sysroot"]).folder(context.root()).capture()?);
    let libraries = sysroot.join("lib/rustlib");
    let program = |name: &str| exists(&sysroot, &format!("bin/{name}{}", std::env::consts::EXE_SUFFIX));
    Ok(TARGETS.iter().all(|target| exists(&libraries, &format!("{target}/lib")))
        && exists(&libraries, "src/rust/library/std")
        && program("cargo-fmt")
        && program("rustfmt")
        && program("cargo-clippy"))
}

fn exists(folder: &Path, path: &str) -> bool {
    folder.join(path).exists()
}

pub(super) fn bring(context: &Context) -> Result<()> {
    if Run::new("rustup").arg("--version").capture().is_err() {
        return Err(XtaskError::Missing {
            what: "rustup, which brings the wasm targets".to_owned(),
            remedy: "the installer of https://rustup.rs".to_owned(),
        });
    }
    Run::new("rustup").args(["target", "add"]).args(TARGETS).folder(context.root()).stream()?;
    Run::new("rustup").args(["component", "add"]).args(COMPONENTS).folder(context.root()).stream()
}
