//! Fuzzing everything that reads what strangers wrote. It needs a compiler's unstable flags and a C++ compiler, and is
//! no part of the ordinary build.

use std::fs;
use std::path::Path;

use crate::context::Context;
use crate::error::{Doing, Result, invalid};
use crate::output;
use crate::run::Run;
use crate::setup::{self, CARGO_FUZZ, Tool};

/// An input that takes longer is a finding, even where the sanitizer makes everything fifty times slower.
const TIMEOUT: &str = "-timeout=25";
const MEMORY: &str = "-rss_limit_mb=2048";

/// Runs the targets of these names, or all, for so many seconds each.
pub(crate) fn fuzz(context: &Context, seconds: u64, targets: &[String]) -> Result<()> {
    setup::ensure(context, &[Tool::Rust, Tool::CargoFuzz])?;
    let known = names(&context.in_root("fuzz/fuzz_targets"))?;
    if let Some(unknown) = targets.iter().find(|target| !known.contains(target)) {
        return Err(invalid(unknown, format!("no such fuzz target; there are {}", known.join(", "))));
    }
    let folder = context.cache().join("fuzz");
    let seeds = folder.join("seeds");
    output::step("fuzz: seeds", || {
        Run::cargo_native(context, "test")
            .args(["--quiet", "--test", "hostile*"])
            .env("NEARSIDE_SEEDS", &seeds)
            .label("seeds")
            .stream()
    })?;
    for target in if targets.is_empty() { &known } else { targets } {
        let (corpus, seeds) = (folder.join("corpus").join(target), seeds.join(target));
        let found = folder.join("found").join(target);
        for folder in [&corpus, &seeds, &found] {
            fs::create_dir_all(folder).doing("make the folder", folder)?;
        }
        output::step(&format!("fuzz: {target} for {seconds} s"), || {
            Run::new(CARGO_FUZZ.program(context))
                .args(["run", "--fuzz-dir", "fuzz", target])
                .args([&corpus, &seeds])
                .args(["--", TIMEOUT, MEMORY, &format!("-max_total_time={seconds}"), "-print_final_stats=1"])
                .arg(format!("-artifact_prefix={}/", found.display()))
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_DIR", context.target().join("fuzz"))
                .label(target)
                .folder(context.root())
                .stream()
        })?;
    }
    Ok(())
}

/// The targets, which are the files of a folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).doing("read the folder", folder)? {
        let path = entry.doing("read the folder", folder)?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}
