//! Any text as a chat template: an error or a text, soon and in little memory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside_gguf::{Metadata, Value};
use nearside_text::{ChatTemplate, Conversation, Message, ToolCall};

fuzz_target!(|source: &str| {
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.chat_template".to_owned(), Value::Text(source.to_owned()));
    let Ok(Some(template)) = ChatTemplate::from_metadata(&metadata) else { return };
    let tools = [serde_json::json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } })];
    let mut call = Message::new("assistant", "");
    call.tool_calls.push(ToolCall { name: "f".to_owned(), arguments: serde_json::json!({ "a": [1, "b"] }), ..ToolCall::default() });
    let messages = [Message::new("system", "Be brief."), Message::new("user", "Hi ü"), call, Message::new("tool", "{}")];
    let whole = Conversation { tools: &tools, now: Some(0), ..Conversation::new(&messages) };
    for conversation in [whole, Conversation::new(&messages[..2])] {
        let _ = template.render(conversation);
        let _ = template.prompt(conversation);
    }
});
