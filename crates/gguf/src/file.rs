//! A model file on disk.

use std::fs::File;
use std::io;

use crate::{ByteSource, SourceError};

/// An open file, read where asked. It is not mapped into memory: a file that shrinks while it is mapped would end the
/// process with a signal instead of an error.
#[derive(Debug)]
pub struct FileBytes {
    file: File,
    length: u64,
}

impl FileBytes {
    /// The bytes of a file as long as it is now.
    pub fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }
}

impl ByteSource for FileBytes {
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
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(not(unix))]
fn read_exact_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}
