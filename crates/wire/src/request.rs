//! What a client asks for.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ChatMessage, Side, WireError, lenient::null_as_default};

/// The body of `POST /v1/chat/completions`.
///
/// Numbers are wider than what is allowed, so that a value out of range is refused by [`ChatRequest::validate`] with
/// the field's name instead of by the parser without it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model asked for; empty means the server's own.
    #[serde(default, deserialize_with = "null_as_default")]
    pub model: String,
    /// The conversation so far.
    #[serde(default, deserialize_with = "null_as_default")]
    pub messages: Vec<ChatMessage>,
    /// Whether to answer with server-sent events.
    #[serde(default, deserialize_with = "null_as_default")]
    pub stream: bool,
    /// What to add to a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// The most tokens to write (older name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// The most tokens to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<i64>,
    /// Sampling temperature, 0 for greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Samples only from the best `top_k` tokens; 0 for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<i64>,
    /// Drops tokens less likely than this part of the best one's probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Penalty on tokens by how often they occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Penalty on tokens that occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Divides the logits of recent tokens, or multiplies negative ones. An extension that many servers know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// Same seed, same tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Strings that end the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Whether to give log probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// How many alternatives to give per token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<i64>,
    /// How many answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<i64>,
    /// What the caller asks of the router. It concerns the page alone and is not sent to an upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearside: Option<NearsideRequest>,
    /// All other fields, as they came. Those that have a meaning here are read by [`Self::functions`],
    /// [`Self::tool_choice`], [`Self::response_format`] and [`Self::logit_bias`].
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ChatRequest {
    /// Reads and validates a request.
    pub fn from_json(bytes: &[u8]) -> Result<Self, WireError> {
        let request: Self =
            serde_json::from_slice(bytes).map_err(|error| WireError::Malformed { reason: error.to_string() })?;
        request.validate()?;
        Ok(request)
    }

    /// The most tokens to write, under whichever name it came.
    pub fn token_limit(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens).and_then(|limit| usize::try_from(limit).ok())
    }

    /// How many answers to give.
    pub fn answers(&self) -> usize {
        self.n.and_then(|n| usize::try_from(n).ok()).unwrap_or(1)
    }

    /// The strings that end the answer.
    pub fn stop_strings(&self) -> Vec<String> {
        match &self.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text.clone()],
            Some(Stop::Many(texts)) => texts.clone(),
        }
    }

    /// Whether the stream must end with a chunk that carries the usage.
    pub fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }

    /// How many parts of messages are something other than text.
    pub fn attachments(&self) -> usize {
        self.messages.iter().map(ChatMessage::attachments).sum()
    }
}

/// One stop string or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stop {
    /// One string.
    One(String),
    /// Several strings.
    Many(Vec<String>),
}

/// What to add to a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Whether to end with a chunk that carries the usage.
    #[serde(default, deserialize_with = "null_as_default")]
    pub include_usage: bool,
    /// Options that only pass through here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What the caller asks of the router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearsideRequest {
    /// Answer on this side, if the policy allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
}
