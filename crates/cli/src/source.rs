//! A model file on disk as the engine's byte source.

use std::fs::File;
use std::path::Path;

use nearside_gguf::{ByteSource, FileBytes};

use crate::failure::Failure;

/// Opens a regular file.
pub(crate) fn open(path: &Path) -> Result<FileBytes, Failure> {
    let fail = |reason: String| Failure::File { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| fail(error.to_string()))?;
    if !metadata.is_file() {
        return Err(fail("it is not a regular file; give the path of a .gguf file".to_owned()));
    }
    let bytes = FileBytes::new(file).map_err(|error| fail(error.to_string()))?;
    if bytes.is_empty() {
        return Err(fail("it is empty (0 bytes); download it again".to_owned()));
    }
    Ok(bytes)
}
