//! Everything that is built: the wasm of the engine, the npm package, the demo and the Worker.

mod demo;
mod exports;
mod package;
pub(crate) mod size;
pub(crate) mod stamp;
pub(crate) mod wasm;
mod worker;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::context::Context;
use crate::error::{Doing, Result};
use crate::output;
use crate::run::Run;

/// A part that can be built by itself; each brings what it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The `nearside` program.
    Cli,
    /// The engine as WebAssembly.
    Wasm,
    /// The npm package, packed.
    Package,
    /// The demo site, from the packed package.
    Demo,
    /// The Worker.
    Worker,
}

pub(crate) const ALL: [Part; 5] = [Part::Cli, Part::Wasm, Part::Package, Part::Demo, Part::Worker];

/// Builds the parts, each once.
pub(crate) fn build(context: &Context, parts: &[Part]) -> Result<()> {
    let wants = |part: Part| parts.contains(&part);
    let demo = wants(Part::Demo);
    let package = demo || wants(Part::Package);
    if wants(Part::Cli) {
        output::step("build: the nearside program", || cli(context))?;
    }
    if package || wants(Part::Wasm) {
        output::step("build: wasm", || wasm::build(context))?;
    }
    if package {
        output::step("build: npm package", || package::build(context))?;
    }
    if demo {
        output::step("build: demo site", || demo::build(context))?;
    }
    if wants(Part::Worker) {
        output::step("build: worker", || worker::build(context))?;
    }
    Ok(())
}

fn cli(context: &Context) -> Result<()> {
    Run::cargo_native(context, "build").args(["--bin", "nearside"]).stream()
}

/// Writes a program for the shell.
fn script(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).doing("make the folder", folder)?;
    }
    fs::write(path, text).doing("write", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).doing("make executable", path)
}
