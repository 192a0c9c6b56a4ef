//! What several tests need.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nearside_gguf::{ByteSource, SourceError};
use serde::de::DeserializeOwned;

/// A model file on disk.
pub(crate) struct ModelFile {
    file: Mutex<File>,
    length: u64,
}

impl ByteSource for ModelFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let mut file = self.file.lock().expect("no reader panicked");
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer)).map_err(|error| SourceError::Io {
            offset,
            length: buffer.len() as u64,
            reason: error.to_string(),
        })
    }
}

/// The model from the cache, or a line that says why the test is skipped.
pub(crate) fn model(name: &str) -> Option<ModelFile> {
    let cache = std::env::var_os("NEARSIDE_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/nearside"),
        PathBuf::from,
    );
    let path = cache.join("models").join(name);
    match File::open(&path) {
        Ok(file) => {
            let length = file.metadata().expect("an open file has metadata").len();
            Some(ModelFile { file: Mutex::new(file), length })
        }
        Err(error) => {
            eprintln!("skipped: {} cannot be opened: {error}", path.display());
            None
        }
    }
}

/// What the reference engine answered.
pub(crate) fn vectors<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity").join(name);
    let text = std::fs::read_to_string(&path).expect("the vectors are part of the repository");
    serde_json::from_str(&text).expect("the vectors have the shape that is read here")
}
