//! Tokens to text, one at a time.

use crate::Tokenizer;

/// Collects the bytes of tokens and gives out whole characters only, because a character may be spread over
/// several tokens.
#[derive(Debug, Clone, Default)]
pub struct StreamDecoder {
    pending: Vec<u8>,
    /// Tokens that are marks of the conversation but are given out as text all the same.
    shown: Vec<u32>,
}

impl StreamDecoder {
    /// Nothing pending.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing pending; these marks of the conversation become text where the vocabulary has a token for them, such
    /// as those that open a tool call.
    pub fn showing(tokenizer: &Tokenizer, marks: &[&str]) -> Self {
        let shown = marks.iter().filter_map(|mark| tokenizer.id(mark)).collect();
        Self { pending: Vec::new(), shown }
    }

    /// Takes the next token; the characters that it completes, which may be none. Bytes that can never become
    /// a character are replaced.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        if self.shown.contains(&id) {
            self.pending.extend(tokenizer.text(id));
        } else {
            self.pending.extend(tokenizer.bytes(id));
        }
        let mut text = String::new();
        let mut from = 0;
        for chunk in self.pending.utf8_chunks() {
            let invalid = chunk.invalid();
            text.push_str(chunk.valid());
            from += chunk.valid().len();
            let begun = from + invalid.len() == self.pending.len() && may_continue(invalid);
            if begun {
                break;
            }
            from += invalid.len();
            if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..from);
        text
    }

    /// What is left when no token follows: a replacement character for each one that stayed incomplete.
    pub fn finish(&mut self, _tokenizer: &Tokenizer) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Whether bytes are the beginning of a character.
fn may_continue(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}
