//! The suites: what each needs and how it is run.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::hostile::Counts;
use super::tally::{CargoReader, NodeReader, Reader, Tally};
use crate::build::{self, Part};
use crate::context::Context;
use crate::error::{Doing, Result, XtaskError};
use crate::models;
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool};

/// What has tests of its own that make sense as WebAssembly: everything that runs in the page and asks nothing of it.
const AS_WASM: [&str; 6] =
    ["nearside-gguf", "nearside-text", "nearside-engine", "nearside-cpu", "nearside-route", "nearside-wire"];

/// A test that hangs fails after ten minutes, so that the run still ends and says so.
const TEST_TIMEOUT: &str = "--test-timeout=600000";

/// A suite of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Suite {
    /// Unit, integration and documentation tests of every native crate.
    Rust,
    /// Only the tests with hostile files.
    Hostile,
    /// The GPU backend on each software driver.
    Gpu,
    /// The unit tests of the crates that run in the page, as WebAssembly.
    Wasm,
    /// The Worker under workerd.
    Worker,
    /// The npm package and the demo in Chromium.
    Browser,
}

/// All suites; the hostile files are part of the first.
pub(super) const ALL: [Suite; 5] = [Suite::Rust, Suite::Gpu, Suite::Wasm, Suite::Worker, Suite::Browser];

impl Suite {
    pub(super) fn run(self, context: &Context, filter: Option<&str>) -> Result<Tally> {
        match self {
            Self::Rust => rust(context, filter),
            Self::Hostile => hostile(context, filter),
            Self::Gpu => gpu(context, filter),
            Self::Wasm => wasm(context, filter),
            Self::Worker => worker(context, filter),
            Self::Browser => browser(context, filter),
        }
    }
}

fn rust(context: &Context, filter: Option<&str>) -> Result<Tally> {
    models::ensure(context, models::DEFAULT)?;
    models::ensure_vocabularies(context);
    let run = Run::cargo_native(context, "test").args(["--exclude", "nearside-gpu", "--no-fail-fast"]);
    cargo(context, run.label("rust"), filter)
}

fn hostile(context: &Context, filter: Option<&str>) -> Result<Tally> {
    setup::ensure(context, &[Tool::Rust, Tool::Node])?;
    let mut counts = Counts::default();
    let native = Run::cargo_native(context, "test").args(["--no-fail-fast", "--test", "hostile*"]);
    let mut tally = cargo_seen(context, native.label("hostile"), filter, |line| counts.line(line))?;
    // The same as 32-bit WebAssembly, where a length in a file need not fit what counts memory.
    let wasm =
        wasi(context, &context.wasm_target(), "+simd128", &[]).args(["--test", "hostile*"]).label("hostile wasm");
    let wasm = ["nearside-gguf", "nearside-text"].iter().fold(wasm, |run, package| run.args(["--package", package]));
    tally.add(cargo_seen(context, wasm, filter, |line| counts.line(line))?);
    output::say(&format!("         {counts}"));
    Ok(tally)
}

fn gpu(context: &Context, filter: Option<&str>) -> Result<Tally> {
    setup::ensure(context, &[Tool::Vulkan])?;
    models::ensure(context, models::DEFAULT)?;
    let test = |label: &str| {
        Run::cargo(&context.target())
            .args(["test", "--locked", "--package", "nearside-gpu", "--no-fail-fast"])
            .label(label)
    };
    let drivers = [("lavapipe", setup::lavapipe()), ("swiftshader", setup::swiftshader())];
    if drivers.iter().all(|(_, driver)| driver.is_none()) {
        return cargo(context, test("gpu"), filter);
    }
    let mut tally = Tally::default();
    for (name, driver) in drivers {
        match driver {
            Some(driver) => {
                let run = test(name).env("VK_ICD_FILENAMES", &driver).env("VK_DRIVER_FILES", &driver);
                tally.add(cargo(context, run, filter)?);
            }
            None => tally.skip(&format!("GPU tests on {name}: its driver file is not on this machine")),
        }
    }
    Ok(tally)
}

fn wasm(context: &Context, filter: Option<&str>) -> Result<Tally> {
    setup::ensure(context, &[Tool::Rust, Tool::Node])?;
    models::ensure(context, models::DEFAULT)?;
    let run = wasi(context, &context.wasm_target(), "+simd128", &[]).arg("--lib").label("wasm");
    let run = AS_WASM.iter().fold(run, |run, package| run.args(["--package", package]));
    let mut tally = cargo(context, run, filter)?;

    // The kernels once more, as the engines that have the relaxed instructions run them. Node 20 has them behind
    // a switch that later versions may not know, and its baseline compiler has the dot product wrong.
    let switch = "--experimental-wasm-relaxed-simd";
    let known = Run::new("node").args([switch, "--eval", "0"]).capture().is_ok();
    let switches = ["--no-liftoff", switch];
    let switches = if known { &switches[..] } else { &switches[..1] };
    let target = context.wasm_target().join("relaxed");
    let run = wasi(context, &target, "+simd128,+relaxed-simd", switches);
    tally.add(cargo(context, run.args(["--lib", "--package", "nearside-cpu"]).label("relaxed"), filter)?);
    Ok(tally)
}

/// `cargo test` of WebAssembly programs, which Node runs with some switches.
fn wasi(context: &Context, target: &Path, features: &str, switches: &[&str]) -> Run {
    let script = context.in_root("crates/xtask/wasi.mjs");
    let runner = format!("node --no-warnings {} {}", switches.join(" "), script.display());
    Run::cargo(target)
        .args(["test", "--locked", "--target", "wasm32-wasip1", "--no-fail-fast"])
        .env("CARGO_TARGET_WASM32_WASIP1_RUNNER", runner)
        .env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", format!("-Ctarget-feature={features}"))
}

fn worker(context: &Context, filter: Option<&str>) -> Result<Tally> {
    setup::ensure(context, &[Tool::Node, Tool::Npm])?;
    models::ensure(context, models::DEFAULT)?;
    build::build(context, &[Part::Cli, Part::Worker])?;
    node(context, "worker", Run::new("node"), filter)
}

fn browser(context: &Context, filter: Option<&str>) -> Result<Tally> {
    setup::ensure(context, &[Tool::Node, Tool::Npm, Tool::Chromium])?;
    models::ensure(context, models::DEFAULT)?;
    build::build(context, &[Part::Demo])?;
    node(context, "browser", super::with_tools(context, Run::new("node"))?, filter)
}

fn cargo(context: &Context, run: Run, filter: Option<&str>) -> Result<Tally> {
    cargo_seen(context, run, filter, |_| {})
}

fn cargo_seen(context: &Context, run: Run, filter: Option<&str>, seen: impl FnMut(&str)) -> Result<Tally> {
    let run = filter.into_iter().fold(run, Run::arg);
    let run = run.args(["--", "--show-output"]).folder(context.root());
    observe::<CargoReader>(super::with_places(context, run), seen)
}

fn node(context: &Context, folder: &str, run: Run, filter: Option<&str>) -> Result<Tally> {
    let files = test_files(context, folder)?;
    let run = run.args(["--test", "--test-reporter=spec", "--test-concurrency=1", TEST_TIMEOUT]);
    let run = filter.into_iter().fold(run, |run, filter| run.arg(format!("--test-name-pattern={filter}")));
    let run = run.args(files.iter().map(|file| file.as_os_str())).label(folder).folder(context.root());
    observe::<NodeReader>(super::with_places(context, run), |_| {})
}

/// The test files of a folder; naming them works in every version of Node, naming the folder does not.
fn test_files(context: &Context, folder: &str) -> Result<Vec<PathBuf>> {
    let folder = context.in_root("tests").join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).doing("read the folder", &folder)? {
        let path = entry.doing("read the folder", &folder)?.path();
        if path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with(".test.mjs")) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(XtaskError::Stopped(format!("{} holds no *.test.mjs", folder.display())));
    }
    Ok(files)
}

fn observe<R: Reader>(run: Run, mut seen: impl FnMut(&str)) -> Result<Tally> {
    let mut reader = R::default();
    let shown = run.shown().to_owned();
    let status = run.observe(|line| {
        reader.line(line);
        seen(line);
    })?;
    let mut tally = reader.finish();
    if !status.success() && tally.failed == 0 {
        tally.fail(format!("`{shown}` ended with {status} and named no failed test"));
    }
    Ok(tally)
}
