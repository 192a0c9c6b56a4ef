//! Every chore of the project, as `cargo xtask CHORE`.

mod bench;
mod build;
mod check;
mod checkout;
mod context;
mod demo;
mod error;
mod fuzz;
mod models;
mod output;
mod run;
mod setup;
mod site;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::Bench;
use crate::build::Part;
use crate::context::Context;
use crate::error::{Doing, Result};
use crate::site::{Far, Site};
use crate::test::Suite;

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
    /// Judge the sources: rustfmt, clippy, cargo deny, biome, tsc.
    Check,
    /// Build everything, or only some parts.
    Build {
        /// The parts to build, with what each stands on.
        parts: Vec<Part>,
    },
    /// Run every test, or only some suites, and count them.
    Test {
        /// The suites to run.
        suites: Vec<Suite>,
        /// Run only tests whose name contains this.
        #[arg(long)]
        filter: Option<String>,
    },
    /// Feed everything that reads strangers' bytes with what has never been tried.
    Fuzz {
        /// For how long, in seconds a target.
        #[arg(default_value_t = 60)]
        seconds: u64,
        /// The targets; all without any.
        targets: Vec<String>,
    },
    /// Run the whole house on this machine: site, Worker and upstream.
    Demo(demo::Options),
    /// Bring models into the cache, by default the small one.
    Models {
        /// The models' ids.
        ids: Vec<String>,
        /// Print the catalogue instead.
        #[arg(long)]
        list: bool,
    },
    /// Measure.
    #[command(subcommand)]
    Bench(Bench),
    /// Serve a built site and the cached models.
    Site(SiteOptions),
}

#[derive(Debug, clap::Args)]
struct SiteOptions {
    /// The folder to serve.
    #[arg(long, default_value = "web/demo/dist")]
    root: PathBuf,
    /// The port; a free one is taken when it is not free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The Worker that the page is told of.
    #[arg(long, requires = "token")]
    worker: Option<String>,
    /// The client token for the Worker.
    #[arg(long)]
    token: Option<String>,
    /// Leave out the headers of cross-origin isolation, to see what the page says then.
    #[arg(long)]
    no_isolation: bool,
}

fn main() -> ExitCode {
    match chore(Arguments::parse().chore) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn chore(chore: Chore) -> Result<ExitCode> {
    let context = Context::discover()?;
    checkout::claim(&context)?;
    match chore {
        Chore::Setup => setup::all(&context)?,
        Chore::Check => check::check(&context)?,
        Chore::Build { parts } => build::build(&context, if parts.is_empty() { &build::ALL } else { &parts })?,
        Chore::Test { suites, filter } => return Ok(test::test(&context, &suites, filter.as_deref())),
        Chore::Fuzz { seconds, targets } => fuzz::fuzz(&context, seconds, &targets)?,
        Chore::Demo(options) => return demo::demo(&context, &options),
        Chore::Models { list: true, .. } => models::list(&context)?,
        Chore::Models { ids, .. } => models::bring(&context, &ids)?,
        Chore::Bench(bench) => return bench::bench(&context, &bench),
        Chore::Site(options) => serve(&context, options)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(context: &Context, options: SiteOptions) -> Result<()> {
    let far = options.worker.zip(options.token).map(|(url, token)| Far { url, token });
    let site = Site::new(context, options.root, far.as_ref(), !options.no_isolation)?;
    let listener = site::listen(options.port)?;
    let port = listener.local_addr().doing("listen on", "127.0.0.1")?.port();
    output::say(&format!("listening on http://127.0.0.1:{port}"));
    site.serve(&listener);
    Ok(())
}
