//! What the integration tests share: files from the cache.

use std::fs::File;
use std::path::{Path, PathBuf};

use nearside_gguf::{FileBytes, Gguf};

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
    Some(Gguf::read(&FileBytes::new(handle).unwrap()).unwrap())
}
