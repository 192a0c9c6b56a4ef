//! What a server answers, whole or in chunks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ChatMessage, NearsideNote, lenient::null_as_default};

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatCompletion {
    /// The answer's id.
    #[serde(default)]
    pub id: String,
    /// Always `chat.completion`.
    #[serde(default = "completion_object")]
    pub object: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: u64,
    /// The model that answered.
    #[serde(default)]
    pub model: String,
    /// The answers; one here.
    pub choices: Vec<Choice>,
    /// Tokens used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Which side spoke and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearside: Option<NearsideNote>,
}

fn completion_object() -> String {
    "chat.completion".to_owned()
}

impl ChatCompletion {
    /// An answer with one choice of plain text.
    pub fn text(
        id: impl Into<String>,
        model: impl Into<String>,
        created: u64,
        text: impl Into<String>,
        finish_reason: FinishReason,
    ) -> Self {
        Self {
            id: id.into(),
            object: completion_object(),
            created,
            model: model.into(),
            choices: vec![Choice {
                index: 0,
                message: ChatMessage::new("assistant", text),
                logprobs: None,
                finish_reason: Some(finish_reason),
            }],
            usage: None,
            nearside: None,
        }
    }
}

/// One answer of a [`ChatCompletion`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Which answer.
    #[serde(default)]
    pub index: usize,
    /// What was said.
    pub message: ChatMessage,
    /// Log probabilities, if asked for.
    #[serde(default)]
    pub logprobs: Option<Logprobs>,
    /// Why it ended.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// One piece of a streamed answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatChunk {
    /// The answer's id, the same on all its chunks.
    #[serde(default)]
    pub id: String,
    /// Always `chat.completion.chunk`.
    #[serde(default = "chunk_object")]
    pub object: String,
    /// Seconds since 1970, the same on all chunks.
    #[serde(default)]
    pub created: u64,
    /// The model that answers.
    #[serde(default)]
    pub model: String,
    /// What is new; empty on the chunk that carries only the usage.
    #[serde(default)]
    pub choices: Vec<ChunkChoice>,
    /// Tokens used, on the last chunk if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Which side speaks and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearside: Option<NearsideNote>,
}

fn chunk_object() -> String {
    "chat.completion.chunk".to_owned()
}

impl ChatChunk {
    /// A chunk without choices, as the one that carries the usage is.
    pub fn empty(id: impl Into<String>, model: impl Into<String>, created: u64) -> Self {
        Self {
            id: id.into(),
            object: chunk_object(),
            created,
            model: model.into(),
            choices: Vec::new(),
            usage: None,
            nearside: None,
        }
    }

    /// A chunk with one choice.
    pub fn new(
        id: impl Into<String>,
        model: impl Into<String>,
        created: u64,
        delta: Delta,
        finish_reason: Option<FinishReason>,
    ) -> Self {
        let mut chunk = Self::empty(id, model, created);
        chunk.choices.push(ChunkChoice { index: 0, delta, logprobs: None, finish_reason });
        chunk
    }

    /// The first chunk of a stream, which names the speaker.
    pub fn start(id: impl Into<String>, model: impl Into<String>, created: u64) -> Self {
        let delta = Delta { role: Some("assistant".to_owned()), content: Some(String::new()), ..Delta::default() };
        Self::new(id, model, created, delta, None)
    }

    /// A chunk of text.
    pub fn text(id: impl Into<String>, model: impl Into<String>, created: u64, text: impl Into<String>) -> Self {
        Self::new(id, model, created, Delta { content: Some(text.into()), ..Delta::default() }, None)
    }

    /// The chunk that says why the answer ended.
    pub fn finish(id: impl Into<String>, model: impl Into<String>, created: u64, reason: FinishReason) -> Self {
        Self::new(id, model, created, Delta::default(), Some(reason))
    }

    /// The same as a chunk of another answer than the first.
    #[must_use]
    pub fn of_answer(mut self, answer: usize) -> Self {
        self.choices.iter_mut().for_each(|choice| choice.index = answer);
        self
    }

    /// The chunks of what one token adds to a message: the token's probability goes with the first of them, and alone
    /// if the token adds nothing yet.
    pub fn parts(
        (id, model, created): (&str, &str, u64),
        mut deltas: Vec<Delta>,
        probability: Option<TokenLogprob>,
    ) -> impl Iterator<Item = Self> {
        if deltas.is_empty() && probability.is_some() {
            deltas.push(Delta::text(""));
        }
        let mut logprobs = probability.map(|probability| Logprobs { content: Some(vec![probability]) });
        deltas.into_iter().map(move |delta| {
            let mut chunk = Self::new(id, model, created, delta, None);
            chunk.choices.iter_mut().for_each(|choice| choice.logprobs = logprobs.take());
            chunk
        })
    }

    /// The new text of the first choice; empty where there is none.
    pub fn content(&self) -> &str {
        self.choices.first().and_then(|choice| choice.delta.content.as_deref()).unwrap_or_default()
    }
}

/// What is new in one answer of a [`ChatChunk`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkChoice {
    /// Which answer.
    #[serde(default)]
    pub index: usize,
    /// What is new.
    #[serde(default)]
    pub delta: Delta,
    /// Log probabilities of the new tokens, if asked for.
    #[serde(default)]
    pub logprobs: Option<Logprobs>,
    /// Why it ended, on its last chunk.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
}

/// What a chunk adds to a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Who speaks, on the first chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// New text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Fields that only pass through here, such as `tool_calls`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or a stop string came.
    Stop,
    /// The token limit or the end of the context.
    Length,
    /// The model calls a tool.
    ToolCalls,
    /// The upstream withheld text.
    ContentFilter,
    /// A reason of some upstream's own.
    #[serde(untagged)]
    Other(String),
}

/// Tokens used by a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens in the conversation as sent.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens written.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Their sum.
    #[serde(default)]
    pub total_tokens: u64,
    /// What they cost, in millionths of a dollar, where the server knows its prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_microdollars: Option<u64>,
    /// More about the conversation as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptDetails>,
    /// More about what was written, where tokens were foreseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens_details: Option<CompletionDetails>,
}

/// More about the tokens of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptDetails {
    /// Those that were read for an earlier request.
    #[serde(deserialize_with = "null_as_default")]
    pub cached_tokens: u64,
}

/// More about the tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompletionDetails {
    /// Tokens that were foreseen rightly.
    #[serde(deserialize_with = "null_as_default")]
    pub accepted_prediction_tokens: u64,
    /// Tokens that were foreseen and did not come.
    #[serde(deserialize_with = "null_as_default")]
    pub rejected_prediction_tokens: u64,
}

impl Usage {
    /// The usage of a request that read and wrote so many tokens.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            cost_microdollars: None,
            prompt_tokens_details: None,
            completion_tokens_details: None,
        }
    }

    /// The same, with how many of the conversation's tokens were read before.
    #[must_use]
    pub fn cached(self, tokens: u64) -> Self {
        Self { prompt_tokens_details: Some(PromptDetails { cached_tokens: tokens }), ..self }
    }

    /// The same, with how many tokens were foreseen and how many of them rightly; nothing is said of none.
    #[must_use]
    pub fn foreseen(self, drafted: u64, accepted: u64) -> Self {
        let details = CompletionDetails {
            accepted_prediction_tokens: accepted,
            rejected_prediction_tokens: drafted.saturating_sub(accepted),
        };
        Self { completion_tokens_details: (drafted > 0).then_some(details), ..self }
    }
}

/// Log probabilities of an answer's tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Logprobs {
    /// One entry per token.
    #[serde(default)]
    pub content: Option<Vec<TokenLogprob>>,
}

/// One token that was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// Its text.
    pub token: String,
    /// Its log probability.
    pub logprob: f64,
    /// Its bytes, because a token need not be whole characters.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
    /// The best tokens at this place.
    #[serde(default)]
    pub top_logprobs: Vec<TopLogprob>,
}

/// One token that could have been written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopLogprob {
    /// Its text.
    pub token: String,
    /// Its log probability.
    pub logprob: f64,
    /// Its bytes.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Side, Timings};

    #[test]
    fn a_chunk_is_written_as_strict_clients_read_it() {
        let chunk = ChatChunk::text("chat-1", "near", 7, "Hi");
        assert_eq!(
            serde_json::to_string(&chunk).unwrap(),
            r#"{"id":"chat-1","object":"chat.completion.chunk","created":7,"model":"near","choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}]}"#
        );
        let last = ChatChunk::finish("chat-1", "near", 7, FinishReason::Length);
        assert!(
            serde_json::to_string(&last).unwrap().contains(r#""delta":{},"logprobs":null,"finish_reason":"length""#)
        );
    }

    #[test]
    fn the_note_survives_the_wire() {
        let mut chunk = ChatChunk::start("a", "m", 0);
        chunk.nearside = Some(NearsideNote {
            score: Some(0.75),
            threshold: Some(0.5),
            reasons: vec!["The prompt is long.".to_owned()],
            receipt: Some("r1".to_owned()),
            timings: Some(Timings { completion_tokens_per_second: Some(9.5), ..Timings::default() }),
            ..NearsideNote::new(Side::Far)
        });
        let text = serde_json::to_string(&chunk).unwrap();
        assert!(text.contains(r#""nearside":{"side":"far","score":0.75"#), "{text}");
        assert_eq!(serde_json::from_str::<ChatChunk>(&text).unwrap(), chunk);
    }

    #[test]
    fn sparse_and_foreign_chunks_are_read() {
        let chunk: ChatChunk = serde_json::from_str(
            r#"{"choices":[{"delta":{"content":null,"reasoning_content":"hm"},"finish_reason":"eos"}],"usage":null,"x":1}"#,
        )
        .unwrap();
        assert_eq!(chunk.content(), "");
        assert_eq!(chunk.choices[0].finish_reason, Some(FinishReason::Other("eos".to_owned())));
        assert_eq!(chunk.choices[0].delta.extra["reasoning_content"], "hm");
    }
}
