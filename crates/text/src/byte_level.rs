//! Byte-level BPE: text is split into words, words into bytes, and bytes merged by rank.

use nearside_gguf::Metadata;

use crate::TextError;
use crate::merge::{Merger, NO_TOKEN};
use crate::merge_table::MergeTable;
use crate::split::Splitter;
use crate::vocabulary::{Kind, Vocabulary};

pub(crate) struct ByteLevel {
    splitter: Splitter,
    /// The token of every single byte.
    bytes: [u32; 256],
    merges: MergeTable,
}

impl ByteLevel {
    pub(crate) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, TextError> {
        let splitter = Splitter::read(metadata)?;
        let mut bytes = [NO_TOKEN; 256];
        for (byte, id) in (0..=u8::MAX).zip(&mut bytes) {
            *id = vocabulary.find_text(&[byte]).unwrap_or(NO_TOKEN);
        }
        Ok(Self { splitter, bytes, merges: MergeTable::read(metadata, vocabulary, store)? })
    }

    /// Whether files that do not say otherwise want their begin token.
    pub(crate) fn begins(&self) -> bool {
        self.splitter.begin
    }

    pub(crate) fn encode(&self, text: &str, vocabulary: &Vocabulary, ids: &mut Vec<u32>) {
        let mut merger = Merger::new();
        for word in self.splitter.words(text) {
            let word = word.as_bytes();
            if let [byte] = word {
                ids.extend(Some(self.bytes[usize::from(*byte)]).filter(|id| *id != NO_TOKEN));
                continue;
            }
            if self.splitter.whole_words
                && let Some(id) = vocabulary.find_text(word)
            {
                ids.push(id);
                continue;
            }
            merger.begin(word.len());
            for (start, byte) in word.iter().enumerate() {
                merger.push(start, 1, self.bytes[usize::from(*byte)]);
            }
            let symbols = merger.merge(|left, right| {
                let (rank, id) = self.merges.find(left.id, right.id)?;
                Some((!rank, id))
            });
            // A byte without a token is one that no text of the model's training held; there is nothing to say for it.
            ids.extend(symbols.map(|symbol| symbol.id).filter(|id| *id != NO_TOKEN));
        }
    }
}

/// Appends a token's text as bytes. Files spell each byte as one printable character; a token that is spelled
/// otherwise is never reached.
pub(crate) fn store(token: &str, kind: Kind, bytes: &mut Vec<u8>) -> bool {
    let reachable = kind == Kind::Normal && token.chars().all(|character| byte_of(character).is_some());
    if reachable {
        bytes.extend(token.chars().filter_map(byte_of));
    } else {
        bytes.extend(token.as_bytes());
    }
    reachable
}

/// The alphabet: printable Latin-1 characters stand for themselves, the 68 other bytes follow from U+0100 on.
fn byte_of(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121) as u8 + 0x7f),
        0x143 => Some(0xad),
        _ => None,
    }
}
