//! Where a model file's bytes come from.

use std::rc::Rc;

/// Random access to the bytes of a model file: a file on disk, a handle in the browser's private
/// file system, or a slice in memory. Reads are synchronous everywhere the engine runs.
pub trait ByteSource {
    /// The length in bytes.
    fn len(&self) -> u64;

    /// Fills `buffer` from `offset`; a read past the end is an error, never a short read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError>;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same bytes for as long as somebody wants them, where reading a few now and then costs next to nothing,
    /// keeps nobody else from the file, and finds what was there at first.
    fn lasting(&self) -> Option<Rc<dyn ByteSource>> {
        None
    }
}

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The range does not lie inside the source.
    #[error(
        "bytes {offset}..{end} lie beyond the end of the file ({length} bytes); it is probably truncated: download it again"
    )]
    OutOfRange {
        /// First byte asked for.
        offset: u64,
        /// One past the last byte asked for.
        end: u64,
        /// What there is.
        length: u64,
    },
    /// The system refused the read.
    #[error("reading {length} bytes at offset {offset} failed: {reason}")]
    Io {
        /// First byte asked for.
        offset: u64,
        /// How many.
        length: u64,
        /// The system's words.
        reason: String,
    },
}

impl ByteSource for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let length = <[u8]>::len(self) as u64;
        let end = offset.saturating_add(buffer.len() as u64);
        if end > length {
            return Err(SourceError::OutOfRange { offset, end, length });
        }
        buffer.copy_from_slice(&self[offset as usize..end as usize]);
        Ok(())
    }
}

impl ByteSource for Vec<u8> {
    fn len(&self) -> u64 {
        ByteSource::len(self.as_slice())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        self.as_slice().read_at(offset, buffer)
    }
}

impl<T: ByteSource + ?Sized> ByteSource for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        (**self).read_at(offset, buffer)
    }

    fn lasting(&self) -> Option<Rc<dyn ByteSource>> {
        (**self).lasting()
    }
}
