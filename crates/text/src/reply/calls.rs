//! Reading what stands between the marks of a tool call.

use serde_json::{Map, Value};

use super::pythonic;
use crate::ToolCall;
use crate::message::arguments;

/// What a text between marks is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Calls(Vec<ToolCall>),
    /// It may become a call: it ends too early.
    Unfinished,
    /// It will never be a call.
    Other,
}

/// Reads the text behind the mark `open`.
pub(super) fn read(open: &str, text: &str) -> Body {
    match open {
        "[TOOL_CALLS]" => named(text),
        "<function=" => function(text).map_or(Body::Other, |call| Body::Calls(vec![call])),
        "<｜tool▁calls▁begin｜>" => sections(text),
        _ => one_of_many(text),
    }
}

fn one_of_many(text: &str) -> Body {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("<function=") {
        return function(rest).map_or(Body::Other, |call| Body::Calls(vec![call]));
    }
    if text.contains("<arg_key>") {
        return keys_and_values(text).map_or(Body::Other, |call| Body::Calls(vec![call]));
    }
    match json(text) {
        Body::Other => pythonic::calls(text).map_or(Body::Other, Body::Calls),
        body => body,
    }
}

/// One call or a list of calls as JSON, or several, with commas or semicolons between.
pub(super) fn json(text: &str) -> Body {
    if !text.trim_start().starts_with(['{', '[']) {
        return Body::Other;
    }
    let mut calls = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => match from_json(value) {
                Some(more) => calls.extend(more),
                None => return Body::Other,
            },
            Some(Err(error)) if error.is_eof() => return Body::Unfinished,
            _ => return Body::Other,
        }
        rest = rest[values.byte_offset()..].trim_start_matches([';', ',']).trim_start();
    }
    if calls.is_empty() { Body::Other } else { Body::Calls(calls) }
}

fn from_json(value: Value) -> Option<Vec<ToolCall>> {
    match value {
        Value::Array(values) => {
            let calls: Option<Vec<_>> = values.into_iter().map(from_json).collect();
            Some(calls?.into_iter().flatten().collect())
        }
        Value::Object(map) => one(map).map(|call| vec![call]),
        _ => None,
    }
}

/// The words that families use for the name and the arguments.
pub(super) const KEYS: [&str; 10] =
    ["name", "tool_name", "arguments", "parameters", "function", "tool_call", "tool", "type", "id", "tool_call_id"];

fn one(mut map: Map<String, Value>) -> Option<ToolCall> {
    for key in ["function", "tool_call"] {
        if let Some(Value::Object(inner)) = map.get_mut(key) {
            return one(std::mem::take(inner));
        }
    }
    let mut take = |keys: &[&str]| keys.iter().find_map(|key| map.remove(*key));
    let Some(Value::String(name)) = take(&["name", "tool_name", "function", "tool"]) else { return None };
    let id = match take(&["id", "tool_call_id"]) {
        Some(Value::String(id)) => id,
        _ => String::new(),
    };
    let arguments = arguments(take(&["arguments", "parameters"]).unwrap_or_default());
    Some(ToolCall { id, name, arguments })
}

/// `name{…}`, `name[ARGS]{…}`, `name[CALL_ID]id[ARGS]{…}` or a JSON list; several with the mark between.
fn named(text: &str) -> Body {
    let mut calls = Vec::new();
    for text in text.split("[TOOL_CALLS]").map(str::trim).filter(|text| !text.is_empty()) {
        if text.starts_with(['[', '{']) {
            match json(text) {
                Body::Calls(more) => calls.extend(more),
                other => return other,
            }
            continue;
        }
        let Some(at) = text.find('{') else { return Body::Unfinished };
        let (head, body) = text.split_at(at);
        let head = head.trim_end().trim_end_matches("[ARGS]");
        let (name, id) = head.split_once("[CALL_ID]").unwrap_or((head, ""));
        match serde_json::from_str(body) {
            Ok(Value::Object(map)) => {
                let (id, name) = (id.trim().to_owned(), name.trim().to_owned());
                calls.push(ToolCall { id, name, arguments: Value::Object(map) });
            }
            Err(error) if error.is_eof() => return Body::Unfinished,
            _ => return Body::Other,
        }
    }
    if calls.is_empty() { Body::Unfinished } else { Body::Calls(calls) }
}

/// `name>{…}` or `name>` and `<parameter=key>value</parameter>`, up to the closing mark if it is there.
fn function(text: &str) -> Option<ToolCall> {
    let (name, body) = text.split_once('>')?;
    let body = body.trim();
    let body = body.strip_suffix("</function>").unwrap_or(body).trim();
    let name = name.trim().trim_matches('"').to_owned();
    if body.starts_with('{') {
        let arguments = serde_json::from_str(body).ok()?;
        return Some(ToolCall { id: String::new(), name, arguments });
    }
    let mut map = Map::new();
    let mut rest = body;
    while let Some(start) = rest.strip_prefix("<parameter=") {
        let (key, value) = start.split_once('>')?;
        let (value, after) = value.split_once("</parameter>")?;
        map.insert(key.trim().to_owned(), loose(value));
        rest = after.trim_start();
    }
    rest.is_empty().then(|| ToolCall { id: String::new(), name, arguments: Value::Object(map) })
}

/// `name` and `<arg_key>key</arg_key><arg_value>value</arg_value>`.
fn keys_and_values(text: &str) -> Option<ToolCall> {
    let (name, mut rest) = text.split_at(text.find("<arg_key>")?);
    let mut map = Map::new();
    while let Some(start) = rest.trim_start().strip_prefix("<arg_key>") {
        let (key, after) = start.split_once("</arg_key>")?;
        let (value, after) = after.trim_start().strip_prefix("<arg_value>")?.split_once("</arg_value>")?;
        map.insert(key.trim().to_owned(), loose(value));
        rest = after;
    }
    let name = name.trim().to_owned();
    rest.trim().is_empty().then(|| ToolCall { id: String::new(), name, arguments: Value::Object(map) })
}

/// A value that is JSON if it can be, else text; the line ends around it belong to the marks.
fn loose(text: &str) -> Value {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Calls in marks of their own: `function<sep>name`, a fenced block of JSON, or `name<sep>{…}`.
fn sections(text: &str) -> Body {
    let mut calls = Vec::new();
    for section in text.split("<｜tool▁call▁begin｜>").skip(1) {
        let section = section.split("<｜tool▁call▁end｜>").next().unwrap_or_default();
        let Some((kind, rest)) = section.split_once("<｜tool▁sep｜>") else { return Body::Other };
        let (name, body) = match rest.find('{') {
            Some(at) if kind.trim() == "function" => (rest[..at].trim().trim_end_matches("```json"), &rest[at..]),
            Some(at) => (kind, &rest[at..]),
            None => return Body::Other,
        };
        let body = body.trim().trim_end_matches("```");
        let Ok(arguments @ Value::Object(_)) = serde_json::from_str(body) else { return Body::Other };
        calls.push(ToolCall { id: String::new(), name: name.trim().to_owned(), arguments });
    }
    if calls.is_empty() { Body::Other } else { Body::Calls(calls) }
}
