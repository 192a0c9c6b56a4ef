//! A forward reader that holds one window of the file and checks every length before it follows it.

use crate::{ByteSource, GgufError, Texts};

/// One read of the source, unless a single text is longer.
const WINDOW: usize = 1 << 20;
/// What a header may take in memory: half of what a page has for everything, and twice what the largest real
/// vocabularies take.
const MEMORY_LIMIT: u64 = 64 << 20;
/// What a string costs beside its bytes.
const TEXT_OVERHEAD: u64 = size_of::<String>() as u64;

pub(crate) struct Cursor<'a> {
    source: &'a dyn ByteSource,
    length: u64,
    window: Vec<u8>,
    window_start: u64,
    position: u64,
    held: u64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(source: &'a dyn ByteSource) -> Self {
        Self { source, length: source.len(), window: Vec::new(), window_start: 0, position: 0, held: 0 }
    }

    /// The offset of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> u64 {
        self.length - self.position
    }

    /// The error of a file that ends before `needed` more bytes.
    pub(crate) fn truncated(&self, what: &str, needed: u64) -> GgufError {
        GgufError::Truncated { what: what.to_owned(), offset: self.position, needed, length: self.length }
    }

    /// Accounts for memory that is about to be held.
    pub(crate) fn charge(&mut self, bytes: u64, what: &str) -> Result<(), GgufError> {
        self.held = self.held.saturating_add(bytes);
        if self.held > MEMORY_LIMIT {
            return Err(GgufError::Memory { what: what.to_owned(), offset: self.position, limit: MEMORY_LIMIT });
        }
        Ok(())
    }

    /// The next `count` bytes. Callers bound `count`.
    pub(crate) fn bytes(&mut self, count: usize, what: &str) -> Result<&[u8], GgufError> {
        if count as u64 > self.remaining() {
            return Err(self.truncated(what, count as u64));
        }
        let mut from = (self.position - self.window_start) as usize;
        if from + count > self.window.len() {
            let size = self.remaining().min(count.max(WINDOW) as u64) as usize;
            self.window.resize(size, 0);
            self.source.read_at(self.position, &mut self.window)?;
            self.window_start = self.position;
            from = 0;
        }
        self.position += count as u64;
        Ok(&self.window[from..from + count])
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N, what)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, GgufError> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A count of things that take at least `each` bytes, so that a lie is found before anything is allocated.
    pub(crate) fn count(&mut self, what: &str, each: u64, limit: u64) -> Result<usize, GgufError> {
        let offset = self.position;
        let count = self.u64(what)?;
        if count > limit {
            return Err(GgufError::Count { what: what.to_owned(), offset, count, limit });
        }
        if count * each > self.remaining() {
            return Err(self.truncated(what, count * each));
        }
        Ok(count as usize)
    }

    /// A text; what is not UTF-8 is replaced, because a vocabulary may hold halves of characters.
    pub(crate) fn text(&mut self, what: &str, limit: u64) -> Result<String, GgufError> {
        self.charge(TEXT_OVERHEAD, what)?;
        let length = self.text_length(what, limit)?;
        Ok(String::from_utf8_lossy(self.bytes(length, what)?).into_owned())
    }

    /// The same for one of many texts, whose places are already accounted for.
    pub(crate) fn text_in_array(&mut self, texts: &mut Texts, what: &str, limit: u64) -> Result<(), GgufError> {
        let length = self.text_length(what, limit)?;
        texts.push(&String::from_utf8_lossy(self.bytes(length, what)?));
        Ok(())
    }

    /// A name, which has to be UTF-8 and not empty.
    pub(crate) fn name(&mut self, what: &'static str, limit: u64) -> Result<String, GgufError> {
        let offset = self.position;
        self.charge(TEXT_OVERHEAD, what)?;
        let length = self.text_length(what, limit)?;
        if length == 0 {
            return Err(GgufError::EmptyName { what, offset });
        }
        let offset = self.position;
        let bytes = self.bytes(length, what)?;
        match std::str::from_utf8(bytes) {
            Ok(name) => Ok(name.to_owned()),
            Err(_) => Err(GgufError::NameNotText { what, offset, name: String::from_utf8_lossy(bytes).into_owned() }),
        }
    }

    fn text_length(&mut self, what: &str, limit: u64) -> Result<usize, GgufError> {
        let offset = self.position;
        let count = self.u64(what)?;
        if count > limit {
            return Err(GgufError::Count { what: format!("the length of {what}"), offset, count, limit });
        }
        self.charge(count, what)?;
        Ok(count as usize)
    }
}
