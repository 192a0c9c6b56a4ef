//! Every chore of the project, as `cargo xtask CHORE`.

mod build;
mod context;
mod error;
mod output;
mod run;
mod setup;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::build::Part;
use crate::context::Context;
use crate::error::Result;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Every chore of the project. Each brings what it needs and says so.")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Bring every tool that is missing.
    Setup,
    /// Build everything, or only some parts.
    Build {
        /// The parts to build, with what each stands on.
        parts: Vec<Part>,
    },
}

fn main() -> ExitCode {
    match chore(Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn chore(chore: Chore) -> Result<()> {
    let context = Context::discover()?;
    match chore {
        Chore::Setup => setup::all(&context),
        Chore::Build { parts } => build::build(&context, if parts.is_empty() { &build::ALL } else { &parts }),
    }
}
