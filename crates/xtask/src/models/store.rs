//! Writing a model file: hashed while it is written, and under its own name only when the hash is right.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::catalogue::Model;
use crate::build::stamp::hex;
use crate::error::{Doing, Result, XtaskError};
use crate::output;

const CHUNK: usize = 1 << 20;
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// A file being written. Dropped before it is kept, it leaves nothing behind.
pub(super) struct Writing<'a> {
    model: &'a Model,
    partial: PathBuf,
    target: PathBuf,
    file: Option<BufWriter<File>>,
    hasher: Sha256,
    written: u64,
    told: Instant,
}

impl<'a> Writing<'a> {
    pub(super) fn begin(folder: &Path, model: &'a Model) -> Result<Self> {
        fs::create_dir_all(folder).doing("make the folder", folder)?;
        let partial = folder.join(format!("{}.{}.part", model.file, std::process::id()));
        let file = File::create(&partial).doing("create", &partial)?;
        Ok(Self {
            model,
            target: folder.join(&model.file),
            partial,
            file: Some(BufWriter::with_capacity(CHUNK, file)),
            hasher: Sha256::new(),
            written: 0,
            told: Instant::now(),
        })
    }

    /// Appends all of `source`.
    pub(super) fn append(&mut self, source: &mut impl Read) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = source.read(&mut chunk).doing("read a part of", &self.target)?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&chunk[..count]);
            file.write_all(&chunk[..count]).doing("write", &self.partial)?;
            self.written += count as u64;
            if self.told.elapsed() > PROGRESS_EVERY {
                self.told = Instant::now();
                output::line("models", &progress(self.model, self.written));
            }
        }
    }

    /// Checks the hash and gives the file its name.
    pub(super) fn keep(mut self) -> Result<PathBuf> {
        if let Some(mut file) = self.file.take() {
            file.flush().doing("write", &self.partial)?;
        }
        let found = hex(&std::mem::take(&mut self.hasher).finalize());
        if found != self.model.sha256 {
            return Err(XtaskError::WrongHash {
                file: self.model.file.clone(),
                found,
                expected: self.model.sha256.clone(),
            });
        }
        fs::rename(&self.partial, &self.target).doing("rename", &self.partial)?;
        note_verified(&self.target, &self.model.sha256)?;
        Ok(self.target.clone())
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // After `keep` the partial file has its own name and this finds nothing.
        let _ = fs::remove_file(&self.partial);
    }
}

fn progress(model: &Model, written: u64) -> String {
    match model.bytes {
        Some(total) if total > 0 => {
            let percent = written * 100 / total;
            format!("{}: {} of {} ({percent} %)", model.file, output::bytes(written), output::bytes(total))
        }
        _ => format!("{}: {}", model.file, output::bytes(written)),
    }
}

/// Whether the file is there with the right hash. Hashing is done once for each state of the file.
pub(super) fn verified(folder: &Path, model: &Model) -> Result<bool> {
    let path = folder.join(&model.file);
    if !path.is_file() {
        return Ok(false);
    }
    if fs::read_to_string(note_path(&path)).is_ok_and(|note| Some(note) == note_text(&path, &model.sha256)) {
        return Ok(true);
    }
    let mut file = File::open(&path).doing("open", &path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file.read(&mut chunk).doing("read", &path)?;
        if count == 0 {
            break;
        }
        hasher.update(&chunk[..count]);
    }
    let right = hex(&hasher.finalize()) == model.sha256;
    if right {
        note_verified(&path, &model.sha256)?;
    }
    Ok(right)
}

fn note_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.verified"))
}

/// What identifies a state of the file: hash, length and time of the last change.
fn note_text(path: &Path, sha256: &str) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    Some(format!("{sha256} {} {changed}", metadata.len()))
}

fn note_verified(path: &Path, sha256: &str) -> Result<()> {
    let note = note_path(path);
    match note_text(path, sha256) {
        Some(text) => fs::write(&note, text).doing("write", &note),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(content: &[u8]) -> Model {
        let text = serde_json::json!({
            "id": "a", "name": "A", "file": "a.gguf", "architecture": "llama", "quantization": "Q4_1",
            "licence": "MIT", "sha256": hex(&Sha256::digest(content)), "url": "https://example.org/a.gguf"
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn joins_parts_and_keeps_only_the_right_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let model = model(b"onetwo");
        let mut writing = Writing::begin(folder.path(), &model).unwrap();
        writing.append(&mut b"one".as_slice()).unwrap();
        writing.append(&mut b"two".as_slice()).unwrap();
        let path = writing.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"onetwo");
        assert!(verified(folder.path(), &model).unwrap());

        // A file that changed since is hashed again, whatever the note says.
        fs::write(&path, b"onetwx").unwrap();
        assert!(!verified(folder.path(), &model).unwrap());
    }

    #[test]
    fn wrong_bytes_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let model = model(b"right");
        let mut writing = Writing::begin(folder.path(), &model).unwrap();
        writing.append(&mut b"wrong".as_slice()).unwrap();
        let problem = writing.keep().unwrap_err().to_string();
        assert!(problem.contains("a.gguf") && problem.contains(&model.sha256), "{problem}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
