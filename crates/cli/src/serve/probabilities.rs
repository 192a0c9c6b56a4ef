//! Tokens with their probabilities, spelled out as `OpenAI`'s clients expect them.

use std::path::PathBuf;

use nearside_engine::GeneratedToken;
use nearside_engine::backend::TokenId;
use nearside_text::Tokenizer;
use nearside_wire::{TokenLogprob, TopLogprob, WireError};

use crate::failure::Failure;
use crate::model::read_table;

/// Spells tokens. The engine lends its own tokenizer to nobody while it generates, so the first request
/// that asks for probabilities builds a second one.
pub(super) struct Speller {
    model: PathBuf,
    tokenizer: Option<Tokenizer>,
}

impl Speller {
    /// A speller for a file's vocabulary.
    pub(super) fn new(model: PathBuf) -> Self {
        Self { model, tokenizer: None }
    }

    /// The tokenizer, built if need be.
    pub(super) fn tokenizer(&mut self) -> Result<&Tokenizer, WireError> {
        if self.tokenizer.is_none() {
            let built = read_table(&self.model).and_then(|(_, gguf)| {
                Tokenizer::from_metadata(&gguf.metadata)
                    .map_err(|reason| Failure::Tokenizer { path: self.model.clone(), reason })
            });
            self.tokenizer = Some(built.map_err(|failure| WireError::Internal { problem: failure.to_string() })?);
        }
        self.tokenizer.as_ref().ok_or_else(|| WireError::Internal { problem: "there is no tokenizer".to_owned() })
    }
}

/// One token and what could have stood in its place.
pub(super) fn token_logprob(tokenizer: &Tokenizer, token: &GeneratedToken) -> TokenLogprob {
    let (own, bytes) = spell(tokenizer, token.id);
    let top_logprobs = token.top.iter().map(|&(id, logprob)| {
        let (token, bytes) = spell(tokenizer, id);
        TopLogprob { token, logprob: f64::from(logprob), bytes }
    });
    TokenLogprob { token: own, logprob: f64::from(token.log_probability), bytes, top_logprobs: top_logprobs.collect() }
}

fn spell(tokenizer: &Tokenizer, id: TokenId) -> (String, Option<Vec<u8>>) {
    let text = tokenizer.decode(&[id]);
    // Part of a character has no text of its own, and its bytes cannot be told from the replacement.
    let bytes = (!text.contains(char::REPLACEMENT_CHARACTER)).then(|| text.clone().into_bytes());
    (text, bytes)
}
