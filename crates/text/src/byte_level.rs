//! Byte-level BPE: text is split into words, words into bytes, and bytes merged by rank.

use std::cmp::Reverse;
use std::collections::HashMap;

use nearside_gguf::Metadata;

use crate::TextError;
use crate::merge::{Merger, NO_TOKEN};
use crate::split::Splitter;
use crate::vocabulary::{Kind, Vocabulary};

const MERGES: &str = "tokenizer.ggml.merges";

/// The rank of a pair of tokens, and what it becomes.
type Merges = HashMap<(u32, u32), (u32, u32)>;

pub(crate) struct ByteLevel {
    splitter: Splitter,
    /// The token of every single byte.
    bytes: [u32; 256],
    merges: Merges,
}

impl ByteLevel {
    pub(crate) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, TextError> {
        let splitter = Splitter::read(metadata)?;
        let mut bytes = [NO_TOKEN; 256];
        for (byte, id) in (0..=u8::MAX).zip(&mut bytes) {
            *id = vocabulary.find_text(&[byte]).unwrap_or(NO_TOKEN);
        }
        Ok(Self { splitter, bytes, merges: merges(metadata.texts(MERGES)?, vocabulary)? })
    }

    /// Whether files that do not say otherwise want their begin token.
    pub(crate) fn begins(&self) -> bool {
        self.splitter.begin
    }

    pub(crate) fn encode(&self, text: &str, vocabulary: &Vocabulary, ids: &mut Vec<u32>) {
        let mut merger = Merger::new();
        for word in self.splitter.words(text) {
            let word = word.as_bytes();
            if self.splitter.whole_words
                && let Some(id) = vocabulary.find_text(word)
            {
                ids.push(id);
                continue;
            }
            merger.clear();
            for (start, byte) in word.iter().enumerate() {
                merger.push(start, 1, self.bytes[usize::from(*byte)]);
            }
            let symbols = merger.merge(|left, right| {
                let (rank, id) = *self.merges.get(&(left.id, right.id))?;
                Some((Reverse(rank), id))
            });
            // A byte without a token is one that no text of the model's training held; there is nothing to say for it.
            ids.extend(symbols.map(|symbol| symbol.id).filter(|id| *id != NO_TOKEN));
        }
    }
}

fn merges(merges: &[String], vocabulary: &Vocabulary) -> Result<Merges, TextError> {
    let mut table = HashMap::with_capacity(merges.len());
    let mut joined = Vec::new();
    for (index, merge) in merges.iter().enumerate() {
        // A piece may itself begin with a space where a converter left the alphabet out.
        let space = merge.char_indices().skip(1).find(|(_, character)| *character == ' ');
        let Some((left, right)) =
            space.map(|(at, _)| (&merge[..at], &merge[at + 1..])).filter(|(_, right)| !right.is_empty())
        else {
            return Err(TextError::Merge { index, merge: merge.clone() });
        };
        joined.clear();
        store(left, Kind::Normal, &mut joined);
        let middle = joined.len();
        store(right, Kind::Normal, &mut joined);
        let find = |range: &[u8]| {
            vocabulary.find_text(range).ok_or_else(|| TextError::MergeOutOfVocabulary {
                index,
                piece: String::from_utf8_lossy(range).into_owned(),
            })
        };
        let pair = (find(&joined[..middle])?, find(&joined[middle..])?);
        let id = find(&joined)?;
        table.entry(pair).or_insert((index as u32, id));
    }
    Ok(table)
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
