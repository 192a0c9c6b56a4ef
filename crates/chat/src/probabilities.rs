//! Tokens with their probabilities, spelled out as `OpenAI`'s clients expect them.

use nearside_engine::GeneratedToken;
use nearside_engine::backend::TokenId;
use nearside_text::Tokenizer;
use nearside_wire::{TokenLogprob, TopLogprob};

/// One token and what could have stood in its place.
pub fn token_logprob(tokenizer: &Tokenizer, token: &GeneratedToken) -> TokenLogprob {
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
