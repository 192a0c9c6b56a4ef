//! Starting the binary, and files for it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::model::alphabet;

/// Longer than any test should need on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What the binary said and how it ended.
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Ran {
    /// Standard output as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}; {}", self.stdout, self.stderr))
    }
}

/// The binary with arguments.
pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearside"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn nearside<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Ran {
    ended(command(arguments).spawn().unwrap())
}

/// Runs it to its end with something on standard input.
pub(crate) fn nearside_with_input(arguments: &[&str], input: &str) -> Ran {
    let mut child = command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    ended(child)
}

/// Waits for the end.
pub(crate) fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits for the end, but not forever.
pub(crate) fn ends_within(child: &mut Child, limit: Duration) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("still running after {limit:?}");
}

/// A folder with the alphabet model in it, gone when dropped.
pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    /// With nothing but the model.
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("alphabet.gguf"), alphabet()).unwrap();
        Self { folder }
    }

    /// The model's path.
    pub(crate) fn model(&self) -> String {
        self.path("alphabet.gguf").display().to_string()
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).display().to_string()
    }
}

/// A real model from the cache.
pub(crate) fn cached_model(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("NEARSIDE_CACHE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/nearside")))?;
    let path = cache.join("models").join(name);
    path.is_file().then_some(path)
}
