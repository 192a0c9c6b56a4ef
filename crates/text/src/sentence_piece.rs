//! `SentencePiece`: the text is one word, its characters are merged by the score of what they become, and what
//! has no token is spelled in bytes.

use nearside_gguf::Metadata;

use crate::TextError;
use crate::merge::{Merger, NO_TOKEN};
use crate::vocabulary::{Kind, Vocabulary};

const SCORES: &str = "tokenizer.ggml.scores";

/// How the vocabulary writes a space.
pub(crate) const SPACE: &str = "\u{2581}";

pub(crate) struct SentencePiece {
    /// The scores as whole numbers in the same order.
    priorities: Vec<u32>,
    /// The token of every single byte.
    bytes: [u32; 256],
    unknown: u32,
    /// Whether a text that begins, or follows a mark, gets a space in front.
    pub(crate) space_prefix: bool,
}

impl SentencePiece {
    pub(crate) fn read(metadata: &Metadata, vocabulary: &Vocabulary, unknown: Option<u32>) -> Result<Self, TextError> {
        let scores = metadata.floats(SCORES)?;
        if scores.len() != vocabulary.len() {
            return Err(TextError::Length { key: SCORES, found: scores.len(), tokens: vocabulary.len() });
        }
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(TextError::Score { id });
        }
        let unknown = unknown.unwrap_or(NO_TOKEN);
        let bytes = byte_tokens(vocabulary, unknown);
        let space_prefix = metadata.flag_if_present("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        Ok(Self { priorities: scores.iter().map(|score| priority(*score)).collect(), bytes, unknown, space_prefix })
    }

    pub(crate) fn encode(&self, text: &str, after_mark: bool, vocabulary: &Vocabulary, ids: &mut Vec<u32>) {
        let prefix = if self.space_prefix && after_mark { SPACE } else { "" };
        let text = format!("{prefix}{}", text.replace(' ', SPACE));
        let mut merger = Merger::new();
        merger.begin(text.chars().count());
        let text = text.as_bytes();
        let mut start = 0;
        while start < text.len() {
            let length = character_length(text[start]).min(text.len() - start);
            merger.push(start, length, vocabulary.find_text(&text[start..start + length]).unwrap_or(NO_TOKEN));
            start += length;
        }
        let symbols = merger.merge(|left, right| {
            let id = vocabulary.find_text(&text[left.range().start..right.range().end])?;
            Some((self.priorities[id as usize], id))
        });
        for symbol in symbols {
            if symbol.id == NO_TOKEN {
                self.spell(&text[symbol.range()], ids);
            } else {
                ids.push(symbol.id);
            }
        }
    }

    fn spell(&self, character: &[u8], ids: &mut Vec<u32>) {
        for byte in character {
            let id = self.bytes[usize::from(*byte)];
            if id == self.unknown {
                // One mark for the whole character, as it is one thing that is unknown.
                ids.extend((id != NO_TOKEN).then_some(id));
                return;
            }
            ids.push(id);
        }
    }
}

/// A score's place in the order of all numbers: the bits of a float are in order but for the sign.
fn priority(score: f32) -> u32 {
    // Negative zero is zero: the order must not tell them apart.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The tokens that spell single bytes; `otherwise` for a byte that has none.
pub(crate) fn byte_tokens(vocabulary: &Vocabulary, otherwise: u32) -> [u32; 256] {
    let mut tokens = [otherwise; 256];
    for (byte, id) in (0..=u8::MAX).zip(&mut tokens) {
        *id = vocabulary.find(format!("<0x{byte:02X}>").as_bytes()).unwrap_or(otherwise);
    }
    tokens
}

/// Appends a token's text, which is kept as the file spells it.
pub(crate) fn store(token: &str, kind: Kind, bytes: &mut Vec<u8>) -> bool {
    bytes.extend(token.as_bytes());
    kind == Kind::Normal
}

fn character_length(first: u8) -> usize {
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}
