//! What a model writes, taken apart while it writes: what it says, what it thinks, and the tools that it calls.
//!
//! Every family marks thinking and calls in its own way. A [`ReplyFormat`] is read off the chat template, and a
//! [`ReplyParser`] takes the text in any pieces and gives events. It never gives out half a mark, and what it holds
//! back is bounded.
//!
//! ```
//! use nearside_text::reply::{ReplyEvent, ReplyFormat, ReplyParser};
//!
//! let format = ReplyFormat::default();
//! let mut parser = ReplyParser::new(&format, ["weather"], "");
//! let mut events = parser.push("<think>Rain?</think><tool_call>{\"name\": \"weather\", \"argu");
//! events.extend(parser.push("ments\": {\"city\": \"Oslo\"}}</tool_call>"));
//! events.extend(parser.finish());
//! assert_eq!(events[0], ReplyEvent::Thinking("Rain?".into()));
//! assert!(matches!(&events[1], ReplyEvent::Call(call) if call.name == "weather" && call.arguments["city"] == "Oslo"));
//! ```

mod calls;
mod format;
mod parser;
mod pythonic;
mod scan;

pub use format::ReplyFormat;
pub use parser::{ReplyEvent, ReplyParser};
