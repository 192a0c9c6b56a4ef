//! Several checkouts share one target folder, which Cargo does not tell apart: a file that is older than what another
//! checkout built counts as built, so one checkout would run the other's programs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::error::{Doing, Result};

/// Where a target folder says whose builds it holds.
const OWNER: &str = "checkout";

/// How deep below the target folder Cargo keeps what it knows of its builds.
const DEPTH: usize = 4;

/// Has Cargo build the project's own crates anew if the last builds were another checkout's.
pub(crate) fn claim(context: &Context) -> Result<()> {
    let target = context.target();
    let owner = target.join(OWNER);
    let root = context.root().display().to_string();
    if fs::read_to_string(&owner).is_ok_and(|owner| owner == root) {
        return Ok(());
    }
    for folder in fingerprints(&target, DEPTH) {
        for crate_folder in entries(&folder).into_iter().filter(|entry| is_ours(entry)) {
            fs::remove_dir_all(&crate_folder).doing("remove", &crate_folder)?;
        }
    }
    fs::create_dir_all(&target).doing("make", &target)?;
    fs::write(&owner, root).doing("write", &owner)
}

/// The folders that Cargo calls so, at most so deep.
fn fingerprints(folder: &Path, depth: usize) -> Vec<PathBuf> {
    if depth == 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    for entry in entries(folder) {
        match entry.file_name().and_then(|name| name.to_str()) {
            Some(".fingerprint") => found.push(entry),
            Some("deps" | "build" | "incremental" | "examples") => {}
            _ if entry.is_dir() => found.extend(fingerprints(&entry, depth - 1)),
            _ => {}
        }
    }
    found
}

/// Whether it is of a crate of this project, but not of the program that is running.
fn is_ours(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("nearside-") || name.starts_with("xtask-") && !folder.join("bin-xtask").is_file()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    // A folder that is not there holds nothing.
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::claim;
    use crate::context::Context;

    #[test]
    fn another_checkouts_builds_are_forgotten_and_third_party_ones_kept() {
        let place = tempfile::tempdir().expect("a folder");
        let context = |name: &str| Context::at(place.path().join(name), place.path().join("cache"));
        let known = place.path().join("cache/target/wasm/wasm32-unknown-unknown/wasm/.fingerprint");
        let (ours, theirs) = (known.join("nearside-wire-0123"), known.join("serde-0123"));
        let running = place.path().join("cache/target/debug/.fingerprint/xtask-0123");
        let tests = place.path().join("cache/target/debug/.fingerprint/xtask-4567");
        for folder in [&ours, &theirs, &running, &tests] {
            fs::create_dir_all(folder).expect("a folder");
        }
        fs::write(running.join("bin-xtask"), "").expect("a file");
        claim(&context("one")).expect("claimed");
        assert!(!ours.exists() && !tests.exists() && theirs.exists() && running.exists());
        fs::create_dir(&ours).expect("a folder");
        claim(&context("one")).expect("claimed");
        assert!(ours.exists());
        claim(&context("two")).expect("claimed");
        assert!(!ours.exists());
    }
}
