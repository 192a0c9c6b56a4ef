//! Tools that the model may call, and its calls.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{ChatMessage, ChatRequest, Delta, WireError};

const MOST_TOOLS: usize = 128;
const LONGEST_NAME: usize = 64;

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionTool {
    /// Its name.
    pub name: String,
    /// The JSON Schema of its arguments; one of an object without fields where the client gives none.
    pub parameters: Value,
}

/// Whether the model may or must call tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// It must not.
    None,
    /// It may.
    Auto,
    /// It must call one.
    Required,
    /// It must call this one.
    Named(String),
}

/// A model's call of a function, whole or a piece of it on a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Which call of the message, on a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// What the tool's answer refers to; on a stream with the first piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function`; on a stream with the first piece.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The function.
    #[serde(default)]
    pub function: FunctionCall,
}

/// The function of a [`ToolCall`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// Its name; on a stream with the first piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its arguments as the text of a JSON object, on a stream piece by piece.
    #[serde(default)]
    pub arguments: String,
}

impl ToolCall {
    /// A whole call.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self {
            index: None,
            id: Some(id.into()),
            kind: Some("function".to_owned()),
            function: FunctionCall { name: Some(name.into()), arguments: arguments.into() },
        }
    }
}

impl ChatRequest {
    /// The functions that the model may call.
    pub fn functions(&self) -> Result<Vec<FunctionTool>, WireError> {
        if self.given("functions").is_some() || self.given("function_call").is_some() {
            return Err(WireError::field("functions", "is no longer read; send `tools` and `tool_choice`"));
        }
        let Some(tools) = self.given("tools") else { return Ok(Vec::new()) };
        let Some(tools) = tools.as_array() else { return Err(WireError::field("tools", "must be a list")) };
        if tools.len() > MOST_TOOLS {
            let problem = format!("holds {} tools; at most {MOST_TOOLS} are served", tools.len());
            return Err(WireError::field("tools", problem));
        }
        let mut functions: Vec<FunctionTool> = Vec::with_capacity(tools.len());
        for (index, tool) in tools.iter().enumerate() {
            let function = function(tool, &format!("tools[{index}]"))?;
            if functions.iter().any(|other| other.name == function.name) {
                let problem = format!("is {:?}, which another tool is called already", function.name);
                return Err(WireError::field(format!("tools[{index}].function.name"), problem));
            }
            functions.push(function);
        }
        Ok(functions)
    }

    /// Whether the model may or must call them.
    pub fn tool_choice(&self) -> Result<ToolChoice, WireError> {
        let functions = self.functions()?;
        let choice = match self.given("tool_choice") {
            None if functions.is_empty() => ToolChoice::None,
            None => ToolChoice::Auto,
            Some(Value::String(word)) => match word.as_str() {
                "none" => ToolChoice::None,
                "auto" => ToolChoice::Auto,
                "required" => ToolChoice::Required,
                _ => return Err(choice_problem("is none of the words `none`, `auto` and `required`")),
            },
            Some(other) => match other.pointer("/function/name") {
                Some(Value::String(name)) if functions.iter().any(|function| function.name == *name) => {
                    ToolChoice::Named(name.clone())
                }
                Some(Value::String(_)) => return Err(choice_problem("names a function that `tools` does not hold")),
                _ => return Err(choice_problem("must be a word or name a function: `{\"function\": {\"name\": …}}`")),
            },
        };
        if functions.is_empty() && matches!(choice, ToolChoice::Required | ToolChoice::Named(_)) {
            return Err(choice_problem("needs `tools`"));
        }
        Ok(choice)
    }

    /// A field that only passes through here, unless it is `null`.
    pub(crate) fn given(&self, name: &str) -> Option<&Value> {
        self.extra.get(name).filter(|value| !value.is_null())
    }
}

fn choice_problem(problem: &str) -> WireError {
    WireError::field("tool_choice", problem)
}

fn function(tool: &Value, place: &str) -> Result<FunctionTool, WireError> {
    if tool.get("type").is_some_and(|kind| kind != "function") {
        return Err(WireError::field(format!("{place}.type"), "must be `function`, the only kind of tool served"));
    }
    let place = format!("{place}.function");
    let Some(function) = tool.get("function").and_then(Value::as_object) else {
        return Err(WireError::field(place, "is missing; send an object with a `name`"));
    };
    let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
        let problem = format!("must be 1 to {LONGEST_NAME} letters, digits, underscores, dashes and dots");
        return Err(WireError::field(format!("{place}.name"), problem));
    }
    let parameters = match function.get("parameters") {
        None | Some(Value::Null) => json!({ "type": "object", "properties": {} }),
        Some(parameters @ Value::Object(_)) => parameters.clone(),
        Some(_) => return Err(WireError::field(format!("{place}.parameters"), "must be a JSON Schema, an object")),
    };
    Ok(FunctionTool { name: name.to_owned(), parameters })
}

impl ChatMessage {
    /// The calls that an assistant's message makes; what is none is left out.
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        read_calls(&self.extra)
    }

    /// What the assistant thought before it spoke; empty where it did not.
    pub fn reasoning(&self) -> &str {
        self.extra.get("reasoning_content").and_then(Value::as_str).unwrap_or_default()
    }

    /// Appends what a chunk brings.
    pub fn absorb(&mut self, delta: &Delta) {
        if let Some(text) = &delta.content {
            self.content = Some((self.text() + text).into());
        }
        if let Some(text) = delta.extra.get("reasoning_content").and_then(Value::as_str) {
            let whole = self.reasoning().to_owned() + text;
            self.extra.insert("reasoning_content".to_owned(), whole.into());
        }
        let mut calls = self.tool_calls();
        let news = delta.tool_calls();
        if news.is_empty() {
            return;
        }
        for piece in news {
            match piece.index.and_then(|index| calls.get_mut(index)) {
                Some(call) => call.function.arguments += &piece.function.arguments,
                None => calls.push(ToolCall { index: None, ..piece }),
            }
        }
        self.extra.insert("tool_calls".to_owned(), json!(calls));
    }
}

impl Delta {
    /// A piece of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: Some(text.into()), ..Self::default() }
    }

    /// A piece of thought.
    pub fn reasoning(text: impl Into<String>) -> Self {
        Self::with("reasoning_content", Value::String(text.into()))
    }

    /// A piece of a call.
    pub fn tool_call(piece: &ToolCall) -> Self {
        Self::with("tool_calls", json!([piece]))
    }

    /// The pieces of calls that it brings.
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        read_calls(&self.extra)
    }

    fn with(field: &str, value: Value) -> Self {
        Self { extra: Map::from_iter([(field.to_owned(), value)]), ..Self::default() }
    }
}

fn read_calls(fields: &Map<String, Value>) -> Vec<ToolCall> {
    let calls = fields.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    calls.iter().filter_map(|call| ToolCall::deserialize(call).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: &str) -> Result<(Vec<FunctionTool>, ToolChoice), WireError> {
        let text = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{more}}}"#);
        let request: ChatRequest = serde_json::from_str(&text).unwrap();
        Ok((request.functions()?, request.tool_choice()?))
    }

    const WEATHER: &str = r#"{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}"#;

    #[test]
    fn choices_are_read_in_every_form() {
        for (choice, expected) in [
            (r#""auto""#, ToolChoice::Auto),
            (r#""none""#, ToolChoice::None),
            (r#""required""#, ToolChoice::Required),
            ("null", ToolChoice::Auto),
            (r#"{"type":"function","function":{"name":"weather"}}"#, ToolChoice::Named("weather".to_owned())),
        ] {
            let (functions, choice) = request(&format!(r#""tools":[{WEATHER}],"tool_choice":{choice}"#)).unwrap();
            assert_eq!((functions[0].name.as_str(), choice), ("weather", expected));
        }
        assert_eq!(request(r#""tools":null"#).unwrap(), (Vec::new(), ToolChoice::None));
        let (functions, _) = request(r#""tools":[{"type":"function","function":{"name":"now"}}]"#).unwrap();
        assert_eq!(functions[0].parameters["type"], "object");
    }

    #[test]
    fn what_is_wrong_with_tools_is_pointed_at() {
        for (more, field) in [
            (r#""tools":3"#.to_owned(), "tools"),
            (r#""tools":[{"type":"function"}]"#.to_owned(), "tools[0].function"),
            (r#""tools":[{"type":"retrieval"}]"#.to_owned(), "tools[0].type"),
            (r#""tools":[{"function":{"name":"a b"}}]"#.to_owned(), "tools[0].function.name"),
            (r#""tools":[{"function":{"name":"a","parameters":[]}}]"#.to_owned(), "tools[0].function.parameters"),
            (format!(r#""tools":[{WEATHER},{WEATHER}]"#), "tools[1].function.name"),
            (format!(r#""tools":[{WEATHER}],"tool_choice":"maybe""#), "tool_choice"),
            (format!(r#""tools":[{WEATHER}],"tool_choice":{{"function":{{"name":"b"}}}}"#), "tool_choice"),
            (r#""tool_choice":"required""#.to_owned(), "tool_choice"),
            (r#""functions":[{"name":"a"}]"#.to_owned(), "functions"),
        ] {
            let error = request(&more).expect_err(&more);
            assert_eq!(error.body().error.param.as_deref(), Some(field), "{more}: {error}");
        }
    }

    #[test]
    fn a_message_grows_from_the_pieces_of_a_stream() {
        let first = ToolCall { index: Some(0), ..ToolCall::new("call_1", "weather", "") };
        let more = |arguments: &str| ToolCall {
            index: Some(0),
            function: FunctionCall { name: None, arguments: arguments.to_owned() },
            ..ToolCall::default()
        };
        let mut message = ChatMessage { role: "assistant".to_owned(), ..ChatMessage::default() };
        for delta in [
            Delta::reasoning("Ra"),
            Delta::reasoning("in?"),
            Delta::text("So"),
            Delta::text("on."),
            Delta::tool_call(&first),
            Delta::tool_call(&more("{\"city\"")),
            Delta::tool_call(&more(": 1}")),
            Delta::tool_call(&ToolCall { index: Some(1), ..ToolCall::new("call_2", "now", "{}") }),
        ] {
            message.absorb(&delta);
        }
        assert_eq!((message.reasoning(), message.text().as_str()), ("Rain?", "Soon."));
        let expected = [ToolCall::new("call_1", "weather", "{\"city\": 1}"), ToolCall::new("call_2", "now", "{}")];
        assert_eq!(message.tool_calls(), expected);
        let written = serde_json::to_value(&message).unwrap();
        assert_eq!(written["tool_calls"][0]["type"], "function");
        assert!(written["tool_calls"][0].get("index").is_none());
    }
}
