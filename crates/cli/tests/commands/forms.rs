//! `nearside serve`: answers of a given form, tools, penalties and several answers, over the interface.

use jsonschema::is_valid;
use serde_json::{Value, json};

use crate::server::{Answer, Server, hello};
use crate::support::cached_model;

const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn weather() -> Value {
    json!({ "type": "function", "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": { "type": "string", "pattern": "^[A-Z][a-z]{2,12}$" },
                "unit": { "enum": ["celsius", "fahrenheit"] },
            },
            "required": ["city", "unit"],
        },
    } })
}

fn clock() -> Value {
    json!({ "type": "function", "function": { "name": "now" } })
}

/// The message that the chunks of a stream come to, and why it ended.
fn gathered(answer: &Answer) -> (Value, String) {
    let mut message = nearside_wire::ChatMessage { role: "assistant".to_owned(), ..Default::default() };
    let mut reason = String::new();
    let mut events = answer.events();
    assert_eq!(events.pop(), Some("[DONE]"), "{}", answer.body);
    for event in events {
        let chunk: nearside_wire::ChatChunk = serde_json::from_str(event).unwrap();
        for choice in &chunk.choices {
            message.absorb(&choice.delta);
        }
        let chunk: Value = serde_json::from_str(event).unwrap();
        reason = chunk["choices"][0]["finish_reason"].as_str().map_or(reason, str::to_owned);
    }
    (serde_json::to_value(&message).unwrap(), reason)
}

/// The one call of a message, which must be one of that function with arguments that it takes.
fn called(message: &Value, tool: &Value) -> Value {
    let calls = message["tool_calls"].as_array().unwrap_or_else(|| panic!("no call in {message}"));
    assert_eq!(calls.len(), 1, "{message}");
    assert_eq!((&calls[0]["type"], &calls[0]["function"]["name"]), (&"function".into(), &tool["function"]["name"]));
    assert!(calls[0]["id"].as_str().is_some_and(|id| id.starts_with("call_")), "{message}");
    let arguments: Value = serde_json::from_str(calls[0]["function"]["arguments"].as_str().unwrap()).unwrap();
    let parameters = tool["function"].get("parameters").cloned().unwrap_or_else(|| json!({ "type": "object" }));
    assert!(is_valid(&parameters, &arguments), "{arguments} against {parameters}");
    arguments
}

#[test]
fn several_answers_are_numbered_and_differ() {
    let server = Server::start(&[]);
    let more = json!({ "n": 3, "temperature": 2, "top_p": 1, "min_p": 0, "top_k": 0, "seed": 4, "max_tokens": 20 });
    let whole = server.chat(&hello(&more)).json();
    let choices = whole["choices"].as_array().unwrap();
    let texts: Vec<&str> = choices.iter().map(|choice| choice["message"]["content"].as_str().unwrap()).collect();
    assert_eq!(choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(texts[0] != texts[1] && texts[1] != texts[2] && texts[0] != texts[2], "{texts:?}");
    assert_eq!(server.chat(&hello(&more)).json()["choices"], whole["choices"], "the same seed, the same answers");
    let mut one = more.clone();
    one["n"] = json!(1);
    assert_eq!(server.chat(&hello(&one)).json()["choices"][0], choices[0], "the first does not depend on the others");
    let mut streamed = more.clone();
    streamed["stream"] = json!(true);
    let answer = server.chat(&hello(&streamed));
    let mut gathered = vec![String::new(); 3];
    let mut events = answer.events();
    events.pop();
    for event in events {
        let chunk: Value = serde_json::from_str(event).unwrap();
        let choice = &chunk["choices"][0];
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        gathered[index] += choice["delta"]["content"].as_str().unwrap_or_default();
    }
    assert_eq!(gathered, texts);
}

#[test]
fn penalties_and_biases_are_honoured() {
    let server = Server::start(&[]);
    let text = |more: Value| server.chat(&hello(&more)).json()["choices"][0]["message"]["content"].clone();
    assert_eq!(text(json!({})), "abcd");
    // After `a`, the alphabet has `b` at its number; a penalty on what came cannot stop it, a bias on `b` can.
    let tokens = server.chat(&hello(&json!({ "logprobs": true, "top_logprobs": 1 }))).json();
    assert_eq!(tokens["choices"][0]["logprobs"]["content"][1]["token"], "b");
    // The alphabet's tokens: its end, then the visible letters of ASCII from `!` on.
    let b = u32::from('b') - u32::from('!') + 1;
    let banned = text(json!({ "logit_bias": { b.to_string(): -100 } }));
    assert!(banned.as_str().is_some_and(|text| text.starts_with('a') && !text.contains('b')), "{banned}");
    let forced = text(json!({ "logit_bias": { b.to_string(): 100 }, "max_tokens": 3 }));
    assert_eq!(forced, "bbb");
    let spread = text(json!({ "logit_bias": { b.to_string(): 1.9 }, "presence_penalty": 2, "max_tokens": 3 }));
    assert_ne!(spread, "bbb");
}

#[test]
fn an_answer_has_the_form_that_was_asked_for() {
    let server = Server::start(&[]);
    for streamed in [false, true] {
        let asked = |format: Value| {
            let more = json!({ "response_format": format, "max_tokens": 60, "stream": streamed });
            let answer = server.chat(&hello(&more));
            assert_eq!(answer.status, 200, "{}", answer.body);
            if streamed {
                let (message, reason) = gathered(&answer);
                (message["content"].as_str().unwrap().to_owned(), reason)
            } else {
                let choice = answer.json()["choices"][0].clone();
                let text = choice["message"]["content"].as_str().unwrap().to_owned();
                (text, choice["finish_reason"].as_str().unwrap().to_owned())
            }
        };
        assert_eq!(asked(json!({ "type": "regex", "pattern": "[0-9]a[x-z]" })).1, "stop");
        let (text, _) = asked(json!({ "type": "lark", "grammar": "start: \"<\" /[a-c]{3}/ \">\"" }));
        assert_eq!(text, "<abc>");
        let schema = json!({ "type": "object", "required": ["kind", "size"], "additionalProperties": false,
            "properties": { "kind": { "enum": ["big", "small"] }, "size": { "type": "integer", "maximum": 9, "minimum": 3 } } });
        let (text, reason) = asked(json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": schema } }));
        assert!(is_valid(&schema, &serde_json::from_str(&text).unwrap()), "{text}");
        assert_eq!(reason, "stop");
    }
}

/// The reasoning and the content of an answer that was asked for with these fields.
fn thought_and_said(server: &Server, more: &Value) -> (Value, Value) {
    let message = server.chat(&hello(more)).json()["choices"][0]["message"].clone();
    (message["reasoning_content"].clone(), message["content"].clone())
}

#[test]
fn a_thought_that_the_template_opens_comes_before_the_form() {
    let server = Server::thinking("{% for message in messages %}{{ message.content }}{% endfor %}<think>");
    assert_eq!(thought_and_said(&server, &json!({ "max_tokens": 12 })), (json!("abcdefgh"), json!("abc")));
    let schema = json!({ "type": "integer", "minimum": 7, "maximum": 7 });
    for (format, said) in [
        (json!({ "type": "json_schema", "json_schema": { "name": "seven", "schema": schema } }), "7"),
        (json!({ "type": "regex", "pattern": "[0-9]{2}x/[y]" }), "00x/y"),
        (json!({ "type": "lark", "grammar": "start: \"<\" /[a-c]{3}/ \">\"" }), "<abc>"),
    ] {
        let asked = json!({ "response_format": format, "max_tokens": 60 });
        assert_eq!(thought_and_said(&server, &asked), (json!("abcdefgh"), json!(said)), "{format}");
    }
    let more = json!({ "tools": [weather(), clock()], "tool_choice": "required", "max_tokens": 200 });
    let body = server.chat(&hello(&more)).json();
    let message = &body["choices"][0]["message"];
    assert_eq!(
        (&message["reasoning_content"], &body["choices"][0]["finish_reason"]),
        (&json!("abcdefgh"), &json!("tool_calls"))
    );
    assert!(message["tool_calls"][0]["function"]["name"].is_string(), "{body}");
}

#[test]
fn a_thought_that_the_model_opens_is_left_out_unless_it_is_asked_for() {
    let closed = "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}";
    let server = Server::thinking(&format!("{{% for message in messages %}}?{{% endfor %}}{closed}"));
    assert_eq!(thought_and_said(&server, &json!({ "max_tokens": 13 })), (json!("abcdefgh"), json!("abc")));
    let more = json!({ "response_format": { "type": "regex", "pattern": "x[yz]x" }, "max_tokens": 60 });
    assert_eq!(thought_and_said(&server, &more), (Value::Null, json!("xyx")));
    let mut asked = more;
    asked["chat_template_kwargs"] = json!({ "enable_thinking": true });
    assert_eq!(thought_and_said(&server, &asked), (json!("abcdefgh"), json!("xyx")));
}

#[test]
fn a_required_tool_is_called_whatever_the_model() {
    let server = Server::start(&[]);
    for (choice, tool) in [
        (json!({ "type": "function", "function": { "name": "now" } }), clock()),
        (json!({ "type": "function", "function": { "name": "get_weather" } }), weather()),
    ] {
        let more = json!({ "tools": [weather(), clock()], "tool_choice": choice, "max_tokens": 200 });
        let body = server.chat(&hello(&more)).json();
        assert_eq!(body["choices"][0]["finish_reason"], "tool_calls", "{body}");
        called(&body["choices"][0]["message"], &tool);
        assert!(body["choices"][0]["message"]["content"].is_null(), "{body}");
    }
    let more = json!({ "tools": [clock()], "tool_choice": "required", "max_tokens": 5 });
    let body = server.chat(&hello(&more)).json();
    assert_eq!(body["choices"][0]["finish_reason"], "length", "a call that is cut is none: {body}");
}

#[test]
fn a_small_model_calls_the_right_tool() {
    let Some(model) = cached_model(MODEL) else {
        eprintln!("skipped: {MODEL} is not in the cache; `cargo xtask models` brings it");
        return;
    };
    let server = Server::of_model(&model);
    let question = json!({ "role": "user", "content": "What is the weather in Paris, in celsius?" });
    let mut request = json!({ "messages": [question], "tools": [weather(), clock()], "tool_choice": "required",
        "temperature": 0, "max_tokens": 100 });
    let whole = server.chat(&request);
    assert_eq!(whole.status, 200, "{}", whole.body);
    let message = whole.json()["choices"][0]["message"].clone();
    let arguments = called(&message, &weather());
    assert_eq!(arguments, json!({ "city": "Paris", "unit": "celsius" }));
    assert_eq!(whole.json()["choices"][0]["finish_reason"], "tool_calls");

    request["stream"] = json!(true);
    let (streamed, reason) = gathered(&server.chat(&request));
    assert_eq!(reason, "tool_calls");
    assert_eq!(called(&streamed, &weather()), arguments, "a stream comes to the same");
}
