//! Programs that cargo installs, each kept in the cache under its version.

use std::fmt;
use std::path::PathBuf;

use crate::context::Context;
use crate::error::Result;
use crate::run::Run;

/// Builds the Worker: cargo, wasm-bindgen, wasm-opt and the shim around them.
pub(crate) const WORKER_BUILD: CargoTool = CargoTool { name: "worker-build", version: "0.8.7" };

/// Judges dependencies: bans, licences and sources.
pub(crate) const CARGO_DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2" };

/// Runs the fuzz targets.
pub(crate) const CARGO_FUZZ: CargoTool = CargoTool { name: "cargo-fuzz", version: "0.13.2" };

/// A program from a crate, in one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
}

impl fmt::Display for CargoTool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

impl CargoTool {
    /// Where its program is.
    pub(crate) fn program(&self, context: &Context) -> PathBuf {
        let folder = context.tool(self.name, self.version).join("bin");
        folder.join(format!("{}{}", self.name, std::env::consts::EXE_SUFFIX))
    }

    pub(super) fn present(&self, context: &Context) -> bool {
        self.program(context).is_file()
    }

    pub(super) fn bring(&self, context: &Context) -> Result<()> {
        // These programs wait for others most of the time: building them fast matters more than their own speed.
        Run::cargo(&context.target().join("tools"))
            .args(["install", "--locked", "--root"])
            .arg(context.tool(self.name, self.version))
            .arg(format!("{}@{}", self.name, self.version))
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .label(self.name)
            // Away from the checkout, whose cargo configuration is not meant for other people's crates.
            .folder(context.cache())
            .stream()
    }
}
