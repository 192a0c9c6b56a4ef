//! Everything that can be judged without running the project.

use std::fs;
use std::time::Instant;

use crate::build::{self, Part};
use crate::context::Context;
use crate::error::{Doing, Result, XtaskError, invalid};
use crate::output;
use crate::run::{Run, WEB_PACKAGES};
use crate::setup::{self, CARGO_DENY, Tool};

type Judge = fn(&Context) -> Result<()>;

const JUDGES: [(&str, Judge); 8] = [
    ("rustfmt", rustfmt),
    ("clippy", clippy_native),
    ("clippy for wasm", clippy_wasm),
    ("cargo deny", cargo_deny),
    ("npm lock files", lock_files),
    ("biome", biome),
    ("tsc: package", typescript_package),
    ("tsc: demo", typescript_demo),
];

/// Runs every judge, also after one has found something.
pub(crate) fn check(context: &Context) -> Result<()> {
    let start = Instant::now();
    let mut problems = Vec::new();
    for (name, judge) in JUDGES {
        if let Err(error) = output::step(&format!("check: {name}"), || judge(context)) {
            output::say(&format!("         {error}"));
            problems.push(name);
        }
    }
    if problems.is_empty() {
        output::say(&format!("all checks passed ({})", output::duration(start.elapsed())));
        return Ok(());
    }
    Err(XtaskError::Stopped(format!("these checks failed: {}", problems.join(", "))))
}

fn rustfmt(context: &Context) -> Result<()> {
    setup::ensure(context, &[Tool::Rust])?;
    Run::cargo(&context.target()).args(["fmt", "--all", "--", "--check"]).folder(context.root()).stream()
}

fn clippy_native(context: &Context) -> Result<()> {
    Run::cargo_native(context, "clippy").args(["--all-targets", "--", "-D", "warnings"]).stream()
}

fn clippy_wasm(context: &Context) -> Result<()> {
    let run = Run::cargo(&context.wasm_target()).args(["clippy", "--locked", "--target", "wasm32-unknown-unknown"]);
    let run = WEB_PACKAGES.iter().fold(run, |run, package| run.args(["--package", package]));
    run.args(["--", "-D", "warnings"]).folder(context.root()).stream()
}

fn cargo_deny(context: &Context) -> Result<()> {
    setup::ensure(context, &[Tool::CargoDeny])?;
    Run::new(CARGO_DENY.program(context))
        .args(["--locked", "--color", "never", "--log-level", "error", "check", "bans", "licenses", "sources"])
        .folder(context.root())
        .stream()
}

/// A lock file must pin hashes and no addresses, so that it serves whatever registry a machine uses.
fn lock_files(context: &Context) -> Result<()> {
    for name in ["package-lock.json", "web/demo/package-lock.json"] {
        let path = context.in_root(name);
        let text = fs::read_to_string(&path).doing("read", &path)?;
        let problems = lock_problems(&text).map_err(|error| invalid(name, error))?;
        if !problems.is_empty() {
            return Err(invalid(name, problems.join("; ")));
        }
    }
    Ok(())
}

fn lock_problems(text: &str) -> std::result::Result<Vec<String>, serde_json::Error> {
    let lock: serde_json::Value = serde_json::from_str(text)?;
    let mut problems = Vec::new();
    for (name, entry) in lock["packages"].as_object().into_iter().flatten() {
        let from = entry["resolved"].as_str().unwrap_or_default();
        if from.starts_with("http") {
            problems.push(format!("{name} names an address; lock with --omit-lockfile-registry-resolved"));
        }
        if from.starts_with("file:") && entry.get("integrity").is_some() {
            problems
                .push(format!("{name} is built here and pins a hash, which no other build has; remove `integrity`"));
        }
    }
    Ok(problems)
}

fn biome(context: &Context) -> Result<()> {
    setup::ensure(context, &[Tool::Node, Tool::Npm])?;
    Run::new(context.node_program("biome"))
        .args(["ci", "--colors=off", "--error-on-warnings", "."])
        .folder(context.root())
        .stream()
}

fn typescript_package(context: &Context) -> Result<()> {
    // The package's sources import the declarations that the wasm build writes.
    build::build(context, &[Part::Wasm])?;
    typescript(context, "web/package")
}

fn typescript_demo(context: &Context) -> Result<()> {
    build::build(context, &[Part::Demo])?;
    typescript(context, "web/demo")
}

fn typescript(context: &Context, project: &str) -> Result<()> {
    setup::ensure(context, &[Tool::Node, Tool::Npm])?;
    Run::new(context.node_program("tsc"))
        .args(["--noEmit", "--strict", "--pretty", "false", "--project", project])
        .folder(context.root())
        .stream()
}

#[cfg(test)]
mod tests {
    use super::lock_problems;

    #[test]
    fn addresses_and_hashes_of_our_own_builds_are_found() {
        let lock = |entry: &str| format!(r#"{{"packages":{{"":{{}},"node_modules/a":{entry}}}}}"#);
        let count = |entry: &str| lock_problems(&lock(entry)).unwrap().len();
        assert_eq!(count(r#"{"version":"1.0.0","integrity":"sha512-x"}"#), 0);
        assert_eq!(count(r#"{"resolved":"file:../package/nearside.tgz"}"#), 0);
        assert_eq!(count(r#"{"resolved":"https://example.org/a.tgz","integrity":"sha512-x"}"#), 1);
        assert_eq!(count(r#"{"resolved":"file:../package/nearside.tgz","integrity":"sha512-x"}"#), 1);
    }
}
