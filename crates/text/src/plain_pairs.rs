//! BPE over characters (`gemma4`): a line is one word, its characters are merged by rank, and what has no token is
//! spelled in bytes.

use nearside_gguf::Metadata;

use crate::TextError;
use crate::merge::{Merger, NO_TOKEN};
use crate::merge_table::MergeTable;
use crate::sentence_piece::{self, SPACE};
use crate::vocabulary::Vocabulary;

pub(crate) struct PlainPairs {
    /// The token of every single byte.
    bytes: [u32; 256],
    merges: MergeTable,
}

impl PlainPairs {
    pub(crate) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, TextError> {
        let merges = MergeTable::read(metadata, vocabulary, sentence_piece::store)?;
        Ok(Self { bytes: sentence_piece::byte_tokens(vocabulary, NO_TOKEN), merges })
    }

    pub(crate) fn encode(&self, text: &str, vocabulary: &Vocabulary, ids: &mut Vec<u32>) {
        let text = text.replace(' ', SPACE);
        let mut merger = Merger::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            // Line ends stand apart, so many of them as follow each other.
            let line_ends = first == '\n';
            let end = rest.find(|next| (next == '\n') != line_ends).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            if let Some(id) = vocabulary.find_text(word.as_bytes()).filter(|_| line_ends) {
                ids.push(id);
                continue;
            }
            merger.begin(word.chars().count());
            for (start, character) in word.char_indices() {
                let length = character.len_utf8();
                let id = vocabulary.find_text(&word.as_bytes()[start..start + length]);
                merger.push(start, length, id.unwrap_or(NO_TOKEN));
            }
            let symbols = merger.merge(|left, right| {
                let (rank, id) = self.merges.find(left.id, right.id)?;
                Some((!rank, id))
            });
            for symbol in symbols {
                if symbol.id == NO_TOKEN {
                    let bytes = word[symbol.range()].bytes().map(|byte| self.bytes[usize::from(byte)]);
                    ids.extend(bytes.filter(|id| *id != NO_TOKEN));
                } else {
                    ids.push(symbol.id);
                }
            }
        }
    }
}
