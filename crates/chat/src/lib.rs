//! Between the interface and the engine: what a chat request asks for, and what the tokens of its answer become.
//!
//! A [`Plan`] is everything that the engine has to be given for a request: the prompt, laid out with the tools it may
//! call, the options, and a constraint where the answer must have a form. A [`Speaker`] takes the text of the tokens and gives
//! the deltas of a message: what is said, what is thought, and the tools that are called. [`Conversations`] keeps the
//! sessions of several conversations, so that each reads only what is new in it. The page and the server use all
//! three alike, so that they answer alike.
//!
//! ```
//! use nearside_chat::Speaker;
//! use nearside_engine::FinishReason;
//! use nearside_text::reply::{ReplyFormat, ReplyParser};
//! use nearside_wire::ChatMessage;
//!
//! let mut message = ChatMessage { role: "assistant".into(), ..ChatMessage::default() };
//! let mut speaker = Speaker::new(ReplyParser::new(&ReplyFormat::default(), ["now"], ""), "1");
//! let mut deltas = speaker.push("<think>The time?</think><tool_call>{\"name\": \"no");
//! deltas.extend(speaker.push("w\", \"arguments\": {}}</tool_call>"));
//! let (rest, reason) = speaker.finish("", FinishReason::Stop);
//! for delta in deltas.iter().chain(&rest) {
//!     message.absorb(delta);
//! }
//! assert_eq!(message.reasoning(), "The time?");
//! assert_eq!(message.tool_calls()[0].function.name.as_deref(), Some("now"));
//! assert_eq!(reason, nearside_wire::FinishReason::ToolCalls);
//! ```

mod calls;
mod conversation;
mod conversations;
mod plan;
mod probabilities;
mod refusal;
mod speaker;

pub use conversations::{Conversations, Limits};
pub use plan::{Defaults, Plan};
pub use probabilities::token_logprob;
pub use refusal::refuse;
pub use speaker::Speaker;
