//! What the integration tests share: files from the cache.

use std::fs::File;
use std::path::{Path, PathBuf};

use nearside_gguf::{ByteSource, Gguf, SourceError};

/// The folder that holds models and other large test data.
pub(crate) fn cache() -> PathBuf {
    std::env::var_os("NEARSIDE_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/nearside"),
        PathBuf::from,
    )
}

/// A file's table of contents, or a line that says why there is none.
pub(crate) fn header(path: &Path) -> Option<Gguf> {
    let Ok(handle) = File::open(path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    let length = handle.metadata().unwrap().len();
    Some(Gguf::read(&Disk(handle, length)).unwrap())
}

struct Disk(File, u64);

impl ByteSource for Disk {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        use std::os::unix::fs::FileExt;
        let length = buffer.len() as u64;
        self.0.read_exact_at(buffer, offset).map_err(|error| SourceError::Io {
            offset,
            length,
            reason: error.to_string(),
        })
    }
}
