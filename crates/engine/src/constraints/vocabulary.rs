//! The model's tokens as llguidance wants them: a tree of their bytes.

use llguidance::toktrie::{TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use nearside_text::Tokenizer;

/// The tree has 22 bits for the number of its nodes, of which there are at most as many as bytes.
const BYTES_LIMIT: usize = 4_000_000;
/// The tree has ten bits for the depth of a node.
const TOKEN_LIMIT: usize = 1000;
/// No token.
const NONE: TokenId = u32::MAX;

/// The tree of a tokenizer's tokens.
pub(super) struct Vocabulary(TokTrie);

impl Vocabulary {
    /// Builds the tree; `None` for a vocabulary that has no place in it.
    pub(super) fn new(tokenizer: &Tokenizer) -> Option<Self> {
        let count = tokenizer.size() as u32;
        let words: Vec<Vec<u8>> = (0..count).map(|id| word(tokenizer, id)).collect();
        if words.iter().map(Vec::len).sum::<usize>() > BYTES_LIMIT || words.len() > BYTES_LIMIT {
            return None;
        }
        let ends: Vec<TokenId> = (0..count).filter(|id| tokenizer.is_end(*id)).collect();
        let mut trie = TokTrie::from(&TokRxInfo::new(count, ends.first().copied().unwrap_or(NONE)), &words);
        if ends.len() > 1 {
            trie = trie.with_eos_tokens(&ends);
        }
        Some(Self(trie))
    }
}

/// A token's bytes in the tree. Marks of the conversation are no text; those with a name are found by it.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let bytes = tokenizer.bytes(id);
    if !bytes.is_empty() || tokenizer.is_end(id) {
        return if bytes.len() > TOKEN_LIMIT { Vec::new() } else { bytes };
    }
    match tokenizer.mark(id) {
        Some(name) if !name.is_empty() && name.len() < TOKEN_LIMIT => {
            [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat()
        }
        _ => Vec::new(),
    }
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.0.greedy_tokenize(bytes)
    }

    /// Otherwise llguidance looks for all that can only follow, at once and without a bound: a text that a form repeats
    /// a million times would take a minute.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}
