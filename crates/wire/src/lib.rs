//! What travels between the page, the Worker, `nearside serve` and an upstream: OpenAI-compatible types, a reader and
//! a writer of server-sent events, and the one error shape.
//!
//! Reading is tolerant, because clients and upstreams differ: a field may be absent or `null`, content may be a string
//! or a list of parts, and fields unknown here are kept where they may matter to an upstream. Writing is exact, because
//! strict clients read it: what `OpenAI`'s own interface always sends is always sent, in its spelling.
//!
//! Answers carry one extension, the field `nearside` ([`NearsideNote`]): which side spoke and why. A client that does
//! not know it ignores it.
//!
//! ```
//! use nearside_wire::{ChatChunk, ChatRequest, sse};
//!
//! let request = ChatRequest::from_json(br#"{"model": "near", "messages": [{"role": "user", "content": "Hi"}]}"#)?;
//! assert_eq!(request.messages[0].text(), "Hi");
//!
//! // The request's limits are checked once, here, with an error that names the field.
//! let refused = ChatRequest::from_json(br#"{"messages": []}"#).unwrap_err();
//! assert_eq!(refused.status(), 400);
//! assert_eq!(refused.body().error.param.as_deref(), Some("messages"));
//!
//! // A stream written by one side is read by the other, however the network splits it.
//! let stream = sse::write(&ChatChunk::text("chat-1", "near", 0, "Hello")) + sse::DONE;
//! let mut reader = sse::Reader::new();
//! let mut text = String::new();
//! for piece in stream.as_bytes().chunks(3) {
//!     for event in reader.push(piece)? {
//!         if !event.is_done() {
//!             text += event.json::<ChatChunk>()?.content();
//!         }
//!     }
//! }
//! assert_eq!(text, "Hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod content;
mod embeddings;
mod error;
mod format;
mod lenient;
mod model;
mod note;
mod request;
mod response;
pub mod sse;
mod tools;
mod validate;

pub use content::{ChatMessage, Content, ContentPart};
pub use embeddings::{
    Embedding, EmbeddingInput, EmbeddingList, EmbeddingRequest, EmbeddingText, EmbeddingUsage, EncodingFormat,
    PoolingName, Vector,
};
pub use error::{ErrorBody, ErrorDetail, WireError};
pub use format::ResponseFormat;
pub use model::{ModelCard, ModelList};
pub use note::{NearsideNote, Side, Timings};
pub use request::{ChatRequest, NearsideRequest, Stop, StreamOptions};
pub use response::{
    ChatChunk, ChatCompletion, Choice, ChunkChoice, CompletionDetails, Delta, FinishReason, Logprobs, PromptDetails,
    TokenLogprob, TopLogprob, Usage,
};
pub use tools::{FunctionCall, FunctionTool, ToolCall, ToolChoice};
