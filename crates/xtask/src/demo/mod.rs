//! The whole house on one machine: the site, the Worker and, as its upstream, the same engine as a server.

mod children;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use children::{Children, Outcome};

use crate::build::{self, Part};
use crate::context::Context;
use crate::error::{Doing, Result, XtaskError};
use crate::models;
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool};
use crate::site::{self, Far, Site};
use crate::test;

const TOKEN: &str = "demo";
const LOADING: Duration = Duration::from_mins(3);
const CHECKING: Duration = Duration::from_mins(15);

/// What a person may choose.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Drive the demo in headless Chromium, print what was said, and end.
    #[arg(long)]
    check: bool,
    /// The model that stands in for the far side.
    #[arg(long, value_name = "MODEL")]
    far: Option<String>,
    /// The site's port; a free one is taken when it is not free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

/// Runs the demo until it is interrupted, or checks it.
pub(crate) fn demo(context: &Context, options: &Options) -> Result<ExitCode> {
    setup::ensure(context, &[Tool::Node, Tool::Npm])?;
    if options.check {
        setup::ensure(context, &[Tool::Chromium])?;
    }
    models::ensure(context, models::DEFAULT)?;
    let far_id = options.far.as_deref().unwrap_or(models::DEFAULT);
    let far_model = models::ensure(context, far_id)?;
    build::build(context, &[Part::Cli, Part::Demo, Part::Worker])?;

    let listener = site::listen(options.port)?;
    let port = listener.local_addr().doing("listen on", "127.0.0.1")?.port();
    // Chromium and people use either name, and the Worker must know both as the site.
    let origins = format!("http://127.0.0.1:{port},http://localhost:{port}");

    let mut children = Children::new()?;
    let upstream = start_upstream(context, &mut children, &far_model)?;
    let worker = start_worker(context, &mut children, &upstream, far_id, &origins)?;
    serve_site(context, listener, &worker)?;

    let address = format!("http://127.0.0.1:{port}");
    output::say(&format!("\n  Nearside is at {address}\n"));
    output::say(&format!(
        "  far side: the Worker at {worker}, whose upstream here is {far_id} standing in for a frontier model"
    ));
    if options.check {
        return check(context, &mut children, &address);
    }
    output::say("  Ctrl-C ends it all\n");
    children.wait(None, None)?;
    output::say("stopping");
    Ok(ExitCode::SUCCESS)
}

fn start_upstream(context: &Context, children: &mut Children, model: &PathBuf) -> Result<String> {
    let run = Run::new(context.program("nearside"))
        .args(["serve", "--host", "127.0.0.1", "--port"])
        .arg(free_port(8082)?.to_string())
        .arg("--model")
        .arg(model);
    children.start("upstream", run)?;
    children.address("upstream", LOADING)
}

fn start_worker(
    context: &Context,
    children: &mut Children,
    upstream: &str,
    model: &str,
    origins: &str,
) -> Result<String> {
    // A new folder each time: yesterday's spending must not stop today's demo.
    let state = context.stamps().join("worker-state");
    if state.exists() {
        std::fs::remove_dir_all(&state).doing("empty", &state)?;
    }
    std::fs::create_dir_all(&state).doing("make the folder", &state)?;
    let run = Run::new("node")
        .arg(context.in_root("worker/run-local.mjs"))
        .args(["--port", &free_port(8081)?.to_string(), "--upstream", &format!("{upstream}/v1")])
        .args(["--model", model, "--origins", origins, "--token", TOKEN, "--state"])
        .arg(state)
        .folder(context.root());
    children.start("worker", run)?;
    children.address("worker", LOADING)
}

fn serve_site(context: &Context, listener: TcpListener, worker: &str) -> Result<()> {
    let far = Far { url: worker.to_owned(), token: TOKEN.to_owned() };
    let site = Site::new(context, context.in_root("web/demo/dist"), Some(&far), true)?;
    std::thread::spawn(move || site.serve(&listener));
    Ok(())
}

fn check(context: &Context, children: &mut Children, address: &str) -> Result<ExitCode> {
    let run = Run::new("node").arg(context.in_root("tests/browser/demo-check.mjs")).arg(address).folder(context.root());
    children.start("check", test::with_tools(context, run)?)?;
    match children.wait(Some("check"), Some(CHECKING))? {
        Outcome::Ended(status) if status.success() => {
            output::say("demo check: passed");
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Ended(status) => Err(XtaskError::Stopped(format!("the demo's check failed ({status})"))),
        Outcome::Interrupted => Err(XtaskError::Stopped("interrupted".to_owned())),
    }
}

/// The wished port when it is free, else any free one.
fn free_port(wished: u16) -> Result<u16> {
    Ok(site::listen(wished)?.local_addr().doing("listen on", "127.0.0.1")?.port())
}
