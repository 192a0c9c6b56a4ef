//! The `nearside` field: which side spoke and why.

use serde::{Deserialize, Serialize};

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The local model.
    Near,
    /// The frontier model behind the Worker.
    Far,
}

/// Which side spoke and why. On a stream it is on the first chunk, and again wherever it changes or grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearsideNote {
    /// Which side this text comes from.
    pub side: Side,
    /// The probability that near's answer will not be good enough, where one was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The score at which the policy goes far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Why, in sentences.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The receipt of the crossing, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// How fast it went, on the last chunk or the completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

impl NearsideNote {
    /// A note that says only which side speaks.
    pub fn new(side: Side) -> Self {
        Self { side, score: None, threshold: None, reasons: Vec::new(), receipt: None, timings: None }
    }
}

/// How fast an answer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// Prompt tokens read per second, reused ones not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_per_second: Option<f64>,
    /// Tokens written per second, from the first to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens_per_second: Option<f64>,
    /// Milliseconds from the request to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_milliseconds: Option<f64>,
    /// Prompt tokens that were already in the session's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reused_tokens: Option<usize>,
}
