//! What a fresh machine lacks, one file a tool. A command asks for what it needs, and only what is missing is brought.

mod apt;
mod cargo_tool;
mod chromium;
mod node;
mod npm;
mod pip;
mod rust;
mod vulkan;
mod wasm_bindgen;

use std::time::Instant;

use crate::context::Context;
use crate::error::{Result, XtaskError};
use crate::output;

pub(crate) use cargo_tool::{CARGO_DENY, CARGO_FUZZ, WORKER_BUILD};
pub(crate) use chromium::find as find_chromium;
pub(crate) use pip::command as pip;
pub(crate) use vulkan::{lavapipe, swiftshader};

/// Something that the project needs and a fresh machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Rust,
    WasmBindgen,
    Node,
    Npm,
    WorkerBuild,
    CargoDeny,
    Chromium,
    Vulkan,
    Pip,
    CargoFuzz,
}

/// Everything but what only fuzzing needs, in the order in which one needs the other.
pub(crate) const ALL: [Tool; 9] = [
    Tool::Rust,
    Tool::WasmBindgen,
    Tool::Node,
    Tool::Npm,
    Tool::Chromium,
    Tool::Vulkan,
    Tool::Pip,
    Tool::WorkerBuild,
    Tool::CargoDeny,
];

impl Tool {
    fn name(self) -> String {
        match self {
            Self::Rust => "Rust: wasm targets, rust-src, rustfmt, clippy".to_owned(),
            Self::WasmBindgen => "wasm-bindgen: one version in Cargo.lock".to_owned(),
            Self::Node => "Node 20.11 or newer, with npm".to_owned(),
            Self::Npm => "npm packages of package-lock.json".to_owned(),
            Self::WorkerBuild => WORKER_BUILD.to_string(),
            Self::CargoDeny => CARGO_DENY.to_string(),
            Self::Chromium => "Chromium".to_owned(),
            Self::Vulkan => "Vulkan loader and its software driver".to_owned(),
            Self::Pip => "pip, which downloads model parts".to_owned(),
            Self::CargoFuzz => CARGO_FUZZ.to_string(),
        }
    }

    fn present(self, context: &Context) -> Result<bool> {
        match self {
            Self::Rust => rust::present(context),
            Self::WasmBindgen => wasm_bindgen::check(context).map(|()| true),
            Self::Node => node::check().map(|()| true),
            Self::Npm => npm::present(context),
            Self::WorkerBuild => Ok(WORKER_BUILD.present(context)),
            Self::CargoDeny => Ok(CARGO_DENY.present(context)),
            Self::Chromium => Ok(chromium::find().is_some()),
            Self::Vulkan => Ok(vulkan::present()),
            Self::Pip => Ok(pip::command().is_some()),
            Self::CargoFuzz => Ok(CARGO_FUZZ.present(context)),
        }
    }

    fn bring(self, context: &Context) -> Result<()> {
        match self {
            Self::Rust => rust::bring(context),
            Self::WasmBindgen => wasm_bindgen::check(context),
            Self::Node => node::check(),
            Self::Npm => npm::bring(context),
            Self::WorkerBuild => WORKER_BUILD.bring(context),
            Self::CargoDeny => CARGO_DENY.bring(context),
            Self::Chromium => chromium::bring(),
            Self::Vulkan => vulkan::bring(),
            Self::Pip => pip::bring(),
            Self::CargoFuzz => CARGO_FUZZ.bring(context),
        }
    }
}

/// Brings those of `tools` that are missing; says nothing of the others.
pub(crate) fn ensure(context: &Context, tools: &[Tool]) -> Result<()> {
    for &tool in tools {
        if !tool.present(context)? {
            output::step(&format!("setup: {}", tool.name()), || tool.bring(context))?;
        }
    }
    Ok(())
}

/// Brings everything and tells each tool's state; one that cannot be brought does not stop the others.
pub(crate) fn all(context: &Context) -> Result<()> {
    let mut problems = Vec::new();
    for tool in ALL {
        let start = Instant::now();
        let outcome = match tool.present(context) {
            Ok(true) => {
                output::say(&format!("   here  {} ({})", tool.name(), output::duration(start.elapsed())));
                Ok(())
            }
            Ok(false) => output::step(&tool.name(), || tool.bring(context)),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            output::say(&format!("         {error}"));
            problems.push(tool.name());
        }
    }
    if problems.is_empty() {
        output::say(&format!("everything is here; the cache is {}", context.cache().display()));
        return Ok(());
    }
    Err(XtaskError::Stopped(format!("still missing: {}", problems.join(", "))))
}
