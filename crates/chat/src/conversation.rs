//! The messages of a request as the engine lays them out.

use nearside_text::{Message, ToolCall};
use nearside_wire::{ChatMessage, ChatRequest};
use serde_json::Value;

/// The messages for the template.
pub(crate) fn messages(request: &ChatRequest) -> Vec<Message> {
    request.messages.iter().map(message).collect()
}

fn message(message: &ChatMessage) -> Message {
    // Templates know the older names only.
    let role = match message.role.as_str() {
        "developer" => "system",
        "function" => "tool",
        role => role,
    };
    let text = |field: &str| message.extra.get(field).and_then(Value::as_str).map(str::to_owned);
    let calls = message.extra.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let calls = calls.iter().filter_map(|call| serde_json::from_value::<ToolCall>(call.clone()).ok());
    Message {
        tool_calls: calls.collect(),
        thinking: message.reasoning().to_owned(),
        tool_call_id: text("tool_call_id"),
        name: text("name"),
        ..Message::new(role, message.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(messages: &str) -> ChatRequest {
        ChatRequest::from_json(format!(r#"{{"messages":{messages}}}"#).as_bytes()).unwrap()
    }

    const CALLED: &str = r#"[{"role":"developer","content":"Be brief."},{"role":"user","content":"Rain?"},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
            "function":{"name":"weather","arguments":"{\"city\": \"Oslo\"}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"wet"}]"#;

    #[test]
    fn roles_and_calls_become_what_templates_know() {
        let messages = messages(&request(CALLED));
        assert_eq!(messages[0], Message::new("system", "Be brief."));
        assert_eq!(messages[2].tool_calls[0].arguments["city"], "Oslo");
        assert_eq!((messages[3].role.as_str(), messages[3].tool_call_id.as_deref()), ("tool", Some("c1")));
    }
}
