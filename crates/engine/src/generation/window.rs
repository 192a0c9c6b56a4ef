//! Which part of a long conversation the model still sees.

use nearside_text::Tokenizer;

use crate::backend::TokenId;
use crate::{ContextPolicy, EngineError};

/// A conversation is shortened by this share of the context at a time: what follows has to be read again, so it
/// should not happen at every token.
const BLOCKS: usize = 4;

/// The tokens from `kept` to `cut` are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kept: usize,
    pub(super) cut: usize,
}

impl Window {
    /// The most of a conversation that fits, less what makes up whole blocks. It depends on the conversation alone: an answer that
    /// is shortened halfway and the next turn, which brings the whole conversation again, drop the same tokens, so that
    /// the next turn finds its beginning in the cache.
    pub(super) fn of(known: &[TokenId], context: usize, policy: ContextPolicy, tokenizer: &Tokenizer) -> Self {
        let ContextPolicy::Slide { keep } = policy else { return Self { kept: 0, cut: 0 } };
        if known.len() <= context {
            return Self { kept: 0, cut: 0 };
        }
        let block = (context / BLOCKS).max(1);
        let cut = keep + (known.len() - context).div_ceil(block) * block;
        // A turn's end, if one is near, is a better place than the middle of a sentence.
        let turn = (cut..known.len().min(cut + block)).find(|end| tokenizer.is_end(known[end - 1]));
        Self { kept: keep, cut: turn.unwrap_or(cut).min(known.len()) }
    }

    /// How many tokens are dropped.
    pub(super) fn dropped(self) -> usize {
        self.cut - self.kept
    }

    /// What is left.
    pub(super) fn of_text(self, known: &[TokenId]) -> Vec<TokenId> {
        [&known[..self.kept], &known[self.cut..]].concat()
    }
}

/// What is kept for good has to leave room for what is not.
pub(super) fn check(policy: ContextPolicy, context: usize) -> Result<(), EngineError> {
    match policy {
        ContextPolicy::Slide { keep } if keep > context / 2 => Err(EngineError::Option {
            option: "when_full",
            problem: format!(
                "it keeps {keep} tokens of a context of {context}; keep at most half, or load the model with a longer \
                 context"
            ),
        }),
        ContextPolicy::Slide { .. } | ContextPolicy::Stop => Ok(()),
    }
}
