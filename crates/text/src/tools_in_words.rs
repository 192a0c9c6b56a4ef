//! Tools for models whose template knows none: they are described in words, and calls and results are written out.
//! The words ask for the form that [`ReplyFormat::default`](crate::reply::ReplyFormat::default) reads.

use serde_json::{Value, json};

use crate::{Conversation, Message};

const BEFORE: &str = "You may call functions to answer. These are the functions, one a line, as JSON:\n<tools>\n";
const AFTER: &str = "</tools>\nTo call a function, answer with nothing but this, once for each call:\n\
                     <tool_call>\n{\"name\": \"the function's name\", \"arguments\": {\"argument\": \"value\"}}\n</tool_call>\n\
                     The results come between <tool_response> and </tool_response>. If no function helps, answer yourself.";

/// What a template knows of tools.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Knowledge {
    tools: bool,
    calls: bool,
    /// The list of calls stands behind this mark, one of Granite's.
    list_mark: bool,
}

impl Knowledge {
    pub(crate) fn of(source: &str) -> Self {
        Self {
            tools: source.contains("tools"),
            calls: source.contains("tool_calls"),
            list_mark: source.contains("<|tool_call|>"),
        }
    }

    /// The turns with everything in words that the template would not show; nothing where it shows all.
    pub(crate) fn in_words(self, conversation: &Conversation<'_>) -> Option<Vec<Message>> {
        let describe = !self.tools && !conversation.tools.is_empty();
        let spell = !self.calls && conversation.messages.iter().any(|message| !message.tool_calls.is_empty());
        let answer = !self.tools && conversation.messages.iter().any(|message| message.role == "tool");
        if !describe && !spell && !answer {
            return None;
        }
        let mut messages: Vec<Message> = Vec::with_capacity(conversation.messages.len());
        for message in conversation.messages {
            let mut message = message.clone();
            if spell {
                self.spell(&mut message);
            }
            if answer && message.role == "tool" {
                let content = format!("<tool_response>\n{}\n</tool_response>", message.content);
                // Roles alternate in most of these templates.
                match messages.last_mut().filter(|last| last.role == "user") {
                    Some(last) => last.content.extend(["\n", &content]),
                    None => messages.push(Message::new("user", content)),
                }
            } else {
                messages.push(message);
            }
        }
        if describe {
            let lines: Vec<String> = conversation.tools.iter().map(Value::to_string).collect();
            let words = format!("{BEFORE}{}\n{AFTER}", lines.join("\n"));
            match messages.iter_mut().find(|message| message.role == "system" || message.role == "user") {
                Some(first) if first.role == "system" => first.content.extend(["\n\n", &words]),
                Some(first) => first.content = format!("{words}\n\n{}", first.content),
                None => messages.insert(0, Message::new("user", words)),
            }
        }
        Some(messages)
    }

    fn spell(self, message: &mut Message) {
        let calls: Vec<Value> = std::mem::take(&mut message.tool_calls)
            .into_iter()
            .map(|call| json!({ "name": call.name, "arguments": call.arguments }))
            .collect();
        if calls.is_empty() {
            return;
        }
        if !message.content.is_empty() {
            message.content.push('\n');
        }
        if self.list_mark {
            message.content.extend(["<|tool_call|>", &Value::Array(calls).to_string()]);
        } else {
            let blocks: Vec<String> = calls.iter().map(|call| format!("<tool_call>\n{call}\n</tool_call>")).collect();
            message.content.push_str(&blocks.join("\n"));
        }
    }
}
