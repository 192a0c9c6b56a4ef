//! A conversation's tokens and where its cache is.

use crate::EngineError;
use crate::backend::{CacheId, TokenId};

/// One conversation. Give it back with [`crate::Engine::close_session`] when it is over.
#[derive(Debug)]
pub struct Session {
    pub(crate) engine: u64,
    pub(crate) cache: CacheId,
    pub(crate) tokens: Vec<TokenId>,
}

impl Session {
    /// The tokens whose keys and values are certain to be in the cache. The newest token of an answer
    /// joins them when the step that read it is done, so the last one of an answer is not among them.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Keeps what `prompt` has in common with the cache, but leaves at least its last token to be run:
    /// somebody has to produce the logits. Returns how many tokens stay.
    pub(crate) fn reuse(&mut self, prompt: &[TokenId]) -> usize {
        let common = self
            .tokens
            .iter()
            .zip(prompt)
            .take_while(|(held, asked)| held == asked)
            .count()
            .min(prompt.len().saturating_sub(1));
        self.tokens.truncate(common);
        common
    }

    pub(crate) fn check(&self, engine: u64) -> Result<(), EngineError> {
        if self.engine == engine { Ok(()) } else { Err(EngineError::ForeignSession) }
    }
}
