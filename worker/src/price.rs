//! What a request costs, and the most it can cost.
//!
//! Before the upstream has answered, only bytes are known. Every token is at least one byte of text, so bytes bound
//! tokens from above, and what is reserved is never less than what is charged.

use nearside_wire::{ChatRequest, Usage};

/// Tokens that a chat template adds around one message, generously.
const TOKENS_AROUND_MESSAGE: u64 = 16;
/// Tokens that a chat template adds around the conversation: some bring a system message of their own.
const TOKENS_AROUND_CONVERSATION: u64 = 64;
/// Tokens that one image, sound or file counts for. An assumption: upstreams count them in ways of their own.
const TOKENS_OF_ATTACHMENT: u64 = 4096;

/// Prices in millionths of a dollar for 1,000 tokens.
#[derive(Clone, Copy)]
pub(crate) struct Prices {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl Prices {
    /// What so many tokens cost, rounded up.
    pub(crate) fn cost(self, input_tokens: u64, output_tokens: u64) -> u64 {
        let input = input_tokens.saturating_mul(self.input);
        input.saturating_add(output_tokens.saturating_mul(self.output)).div_ceil(1000)
    }

    pub(crate) fn of_usage(self, usage: &Usage) -> u64 {
        self.cost(usage.prompt_tokens, usage.completion_tokens)
    }
}

/// The most tokens that the request's input can have.
pub(crate) fn most_input_tokens(request: &ChatRequest) -> u64 {
    let text: usize = request.messages.iter().map(|message| message.role.len() + message.text().len()).sum();
    // Tools and formats become text for the model too.
    let rest: usize = request
        .extra
        .values()
        .chain(request.messages.iter().flat_map(|message| message.extra.values()))
        .map(|value| value.to_string().len())
        .sum();
    (text as u64)
        .saturating_add(rest as u64)
        .saturating_add(TOKENS_AROUND_CONVERSATION)
        .saturating_add(request.messages.len() as u64 * TOKENS_AROUND_MESSAGE)
        .saturating_add(request.attachments() as u64 * TOKENS_OF_ATTACHMENT)
}
