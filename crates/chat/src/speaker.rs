//! What an answer's text becomes.

use nearside_text::reply::{ReplyEvent, ReplyParser};
use nearside_wire::{Delta, FinishReason, FunctionCall, ToolCall};

/// Makes the deltas of a message from the text of an answer.
pub struct Speaker {
    parser: ReplyParser,
    /// What the ids of this answer's calls have in common.
    id: String,
    calls: usize,
}

impl Speaker {
    /// For one answer; `id` makes the ids of its calls its own.
    pub fn new(parser: ReplyParser, id: &str) -> Self {
        Self { parser, id: id.to_owned(), calls: 0 }
    }

    /// Takes the next piece of text; what it adds to the message, which may be nothing yet.
    pub fn push(&mut self, text: &str) -> Vec<Delta> {
        let events = self.parser.push(text);
        self.deltas(events)
    }

    /// Takes the last piece of text. What it adds to the message, and why the answer ended.
    pub fn finish(mut self, text: &str, reason: nearside_engine::FinishReason) -> (Vec<Delta>, FinishReason) {
        let mut events = self.parser.push(text);
        events.extend(self.parser.clone().finish());
        let deltas = self.deltas(events);
        let reason = match reason {
            nearside_engine::FinishReason::Stop if self.calls > 0 => FinishReason::ToolCalls,
            nearside_engine::FinishReason::Stop => FinishReason::Stop,
            nearside_engine::FinishReason::Length | nearside_engine::FinishReason::ContextFull => FinishReason::Length,
        };
        (deltas, reason)
    }

    fn deltas(&mut self, events: Vec<ReplyEvent>) -> Vec<Delta> {
        let mut deltas = Vec::new();
        for event in events {
            match event {
                ReplyEvent::Content(text) => deltas.push(Delta::text(text)),
                ReplyEvent::Thinking(text) => deltas.push(Delta::reasoning(text)),
                ReplyEvent::Call(call) => {
                    let index = Some(self.calls);
                    self.calls += 1;
                    // The ids that models give are not their own from one answer to the next.
                    let id = format!("call_{}_{}", self.id, self.calls);
                    deltas.push(Delta::tool_call(&ToolCall { index, ..ToolCall::new(id, call.name, "") }));
                    let function = FunctionCall { name: None, arguments: call.arguments.to_string() };
                    deltas.push(Delta::tool_call(&ToolCall { index, function, ..ToolCall::default() }));
                }
            }
        }
        deltas
    }
}
