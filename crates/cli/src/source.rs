//! A model file on disk as the engine's byte source.

use std::fs::File;
use std::path::Path;

use nearside_gguf::{ByteSource, SourceError};

use crate::failure::Failure;

/// An open file, read where asked. It is not mapped into memory: a file that shrinks while it is
/// mapped would end the process with a signal instead of an error.
pub(crate) struct FileSource {
    file: File,
    length: u64,
}

impl FileSource {
    /// Opens a regular file.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let fail = |reason: String| Failure::File { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| fail(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| fail(error.to_string()))?;
        if !metadata.is_file() {
            return Err(fail("it is not a regular file; give the path of a .gguf file".to_owned()));
        }
        if metadata.len() == 0 {
            return Err(fail("it is empty (0 bytes); download it again".to_owned()));
        }
        Ok(Self { file, length: metadata.len() })
    }
}

impl ByteSource for FileSource {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let length = buffer.len() as u64;
        let end = offset.saturating_add(length);
        if end > self.length {
            return Err(SourceError::OutOfRange { offset, end, length: self.length });
        }
        read_exact_at(&self.file, buffer, offset).map_err(|error| SourceError::Io {
            offset,
            length,
            reason: error.to_string(),
        })
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        offset += read as u64;
    }
    Ok(())
}
