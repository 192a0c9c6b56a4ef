//! Knowing that work is up to date: a hash over its inputs, kept beside the checkout's other build results.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::error::{Doing, Result};

/// Folders that hold results or other people's code, and so are no input.
const PASSED_OVER: [&str; 5] = ["node_modules", "dist", "build", "target", ".git"];

/// A piece of work and the hash of what goes into it.
#[derive(Debug)]
pub(crate) struct Stamp {
    path: PathBuf,
    hash: String,
}

impl Stamp {
    /// Hashes files and folders (without results and dependencies), and words such as versions.
    pub(crate) fn of(context: &Context, name: &str, inputs: &[PathBuf], words: &[&str]) -> Result<Self> {
        let mut hasher = Sha256::new();
        for word in words {
            hasher.update(word.as_bytes());
            hasher.update([0]);
        }
        for input in inputs {
            for file in files(input)? {
                let shown = file.strip_prefix(context.root()).unwrap_or(&file).to_string_lossy().into_owned();
                hasher.update(shown.as_bytes());
                hasher.update([0]);
                hasher.update(fs::read(&file).doing("read", &file)?);
            }
        }
        Ok(Self { path: context.stamps().join(format!("{name}.stamp")), hash: hex(&hasher.finalize()) })
    }

    /// Whether the work was finished with exactly these inputs.
    pub(crate) fn fresh(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|hash| hash == self.hash)
    }

    /// Notes that the work is finished.
    pub(crate) fn write(&self) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).doing("make the folder", folder)?;
        }
        fs::write(&self.path, &self.hash).doing("write", &self.path)
    }
}

/// All files below a path, or the path itself, in a fixed order; a path that does not exist has none.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).doing("read the folder", path)? {
        entries.push(entry.doing("read the folder", path)?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let packed = entry.extension().is_some_and(|ending| ending == "tgz");
        if !PASSED_OVER.contains(&name.as_str()) && !packed {
            found.extend(files(&entry)?);
        }
    }
    Ok(found)
}

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
