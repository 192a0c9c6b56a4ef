//! What a conversation is made of.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One turn of a conversation. As JSON it has the shape that `OpenAI`'s clients send and chat templates read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What they say.
    #[serde(default)]
    pub content: String,
    /// What the assistant thought before it spoke.
    #[serde(default, rename = "reasoning_content", skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// The tools that the assistant calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Which call a `tool` message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The tool that a `tool` message comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    /// A turn of plain text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }
}

/// A model's wish to have a tool run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "NamedCall", into = "NamedCall")]
pub struct ToolCall {
    /// What the answer refers to; empty where the model gives none.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// Its arguments, an object where the model does as it is told.
    pub arguments: Value,
}

/// A call as it is written in JSON.
#[derive(Serialize, Deserialize)]
struct NamedCall {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(default = "function", rename = "type")]
    kind: String,
    function: Function,
}

#[derive(Serialize, Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

fn function() -> String {
    "function".to_owned()
}

impl From<NamedCall> for ToolCall {
    fn from(call: NamedCall) -> Self {
        Self { id: call.id, name: call.function.name, arguments: arguments(call.function.arguments) }
    }
}

impl From<ToolCall> for NamedCall {
    fn from(call: ToolCall) -> Self {
        let function = Function { name: call.name, arguments: call.arguments };
        Self { id: call.id, kind: self::function(), function }
    }
}

/// Arguments come as JSON or as a text that holds JSON; none at all is an empty object.
pub(crate) fn arguments(value: Value) -> Value {
    match value {
        Value::Null => Value::Object(Map::new()),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(inner @ Value::Object(_)) => inner,
            _ if text.trim().is_empty() => Value::Object(Map::new()),
            _ => Value::String(text),
        },
        other => other,
    }
}

/// A conversation and what a chat template may want to know beside it.
#[derive(Debug, Clone, Copy)]
pub struct Conversation<'a> {
    /// The turns, the first first.
    pub messages: &'a [Message],
    /// The tools that the model may call, each as `{"type": "function", "function": {"name": …}}`.
    pub tools: &'a [Value],
    /// What the caller sets for the template, such as `enable_thinking`.
    pub variables: Option<&'a Map<String, Value>>,
    /// Seconds since 1970 on the user's own clock, for templates that write the date. This crate has no clock.
    pub now: Option<i64>,
    /// Whether the text ends where the model's next turn begins.
    pub add_generation_prompt: bool,
}

impl<'a> Conversation<'a> {
    /// Plain turns that the model is to answer.
    pub fn new(messages: &'a [Message]) -> Self {
        Self { messages, tools: &[], variables: None, now: None, add_generation_prompt: true }
    }
}

impl<'a> From<&'a [Message]> for Conversation<'a> {
    fn from(messages: &'a [Message]) -> Self {
        Self::new(messages)
    }
}

impl<'a> From<&'a Vec<Message>> for Conversation<'a> {
    fn from(messages: &'a Vec<Message>) -> Self {
        Self::new(messages)
    }
}

impl<'a, const N: usize> From<&'a [Message; N]> for Conversation<'a> {
    fn from(messages: &'a [Message; N]) -> Self {
        Self::new(messages)
    }
}
