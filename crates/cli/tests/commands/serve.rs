//! `nearside serve`.

use std::io::Read;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{JSON, Server, hello};
use crate::support::ends_within;

#[test]
fn embeds_texts_and_tokens() {
    let server = Server::start(&[]);
    let embed = |body: Value| server.ask("POST", "/v1/embeddings", JSON, &body.to_string());
    let answer = embed(json!({ "input": ["hello", "abc"], "model": "any" }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!("alphabet")));
    assert_eq!(body["data"].as_array().unwrap().len(), 2);
    assert_eq!((&body["data"][1]["object"], &body["data"][1]["index"]), (&json!("embedding"), &json!(1)));
    assert_eq!(body["usage"]["prompt_tokens"], 8);
    let numbers = |value: &Value| value.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect::<Vec<_>>();
    let vector = numbers(&body["data"][0]["embedding"]);
    assert!((vector.iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-5);
    // `OpenAI`'s own client asks for base64.
    let encoded = embed(json!({ "input": "hello", "encoding_format": "base64" })).json();
    let letters = encoded["data"][0]["embedding"].as_str().unwrap().len();
    assert_eq!(letters, (vector.len() * 4).div_ceil(3) * 4);
    let last = embed(json!({ "input": "hello", "pooling": "last" })).json();
    assert_ne!(numbers(&last["data"][0]["embedding"]), vector);
    for (input, field) in [(json!([[1], []]), "input[1]"), (json!([[99_999]]), "input[0]"), (json!([]), "input")] {
        let refused = embed(json!({ "input": input }));
        assert_eq!((refused.status, refused.json()["error"]["param"].as_str()), (400, Some(field)), "{}", refused.body);
    }
    assert_eq!(server.ask("GET", "/v1/embeddings", "", "").status, 405);
}

#[test]
fn answers_whole() {
    let server = Server::start(&[]);
    let answer = server.chat(&hello(&json!({ "logprobs": true, "top_logprobs": 2 })));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "alphabet");
    assert_eq!(body["choices"][0]["message"], json!({ "role": "assistant", "content": "abcd" }));
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 4);
    let tokens = body["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len(), 4);
    assert_eq!(tokens[1]["token"], "b");
    assert_eq!(tokens[1]["top_logprobs"].as_array().unwrap().len(), 2);
    assert!(tokens[1]["logprob"].as_f64().unwrap() <= 0.0);
}

#[test]
fn streams_events_that_end_with_usage_and_done() {
    let server = Server::start(&[]);
    let answer = server.chat(&hello(&json!({ "stream": true, "stream_options": { "include_usage": true } })));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.head.contains("text/event-stream"), "{}", answer.head);
    let mut events = answer.events();
    assert_eq!(events.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "abcd");
    let last = &chunks[chunks.len() - 2];
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    let usage = &chunks[chunks.len() - 1];
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 4);
}

#[test]
fn foresight_changes_no_answer_and_what_came_of_it_is_counted() {
    let ask = |arguments: &[&str]| Server::start(arguments).chat(&hello(&json!({ "max_tokens": 80 }))).json();
    let (plain, quick) = (ask(&[]), ask(&["--speculate", "lookup"]));
    assert_eq!(plain["choices"], quick["choices"]);
    assert_eq!((&plain["usage"]["completion_tokens"], &quick["usage"]["completion_tokens"]), (&json!(80), &json!(80)));
    assert!(plain["usage"].get("completion_tokens_details").is_none(), "{plain}");
    // The alphabet comes round again and again.
    let details = &quick["usage"]["completion_tokens_details"];
    assert!(details["accepted_prediction_tokens"].as_u64() > Some(20), "{quick}");
    assert!(details["rejected_prediction_tokens"].is_u64(), "{quick}");
}

#[test]
fn conversations_in_turn_read_only_what_is_new_in_them() {
    let question = |first: &str| json!({ "role": "user", "content": format!("{first} {}", "and so on ".repeat(8)) });
    // The second server keeps one conversation alone.
    for (arguments, kept) in
        [(&["--context", "4096"][..], true), (&["--context", "4096", "--conversations", "1"], false)]
    {
        let server = Server::start(arguments);
        let mut both = ["one", "two"].map(|first| vec![question(first)]);
        for round in 0..3 {
            for messages in &mut both {
                let body = server.chat(&hello(&json!({ "messages": messages }))).json();
                let usage = &body["usage"];
                let (prompt, cached) = (&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]);
                let read = prompt.as_u64().unwrap() - cached.as_u64().unwrap();
                assert_eq!(body["choices"][0]["message"]["content"], "abcd");
                // What is new: the last answer's end, the roles and the question.
                assert!(round == 0 || (read < 130) == kept, "round {round}, {arguments:?}: {usage}");
                messages.push(body["choices"][0]["message"].clone());
                messages.push(question("then"));
            }
        }
    }
}

#[test]
fn says_what_it_serves() {
    let server = Server::start(&[]);
    let models = server.ask("GET", "/v1/models", "", "").json();
    assert_eq!(models["data"][0]["id"], "alphabet");
    let health = server.ask("GET", "/healthz", "", "").json();
    assert_eq!((&health["status"], &health["backend"]["kind"]), (&"ok".into(), &"cpu".into()));
}

#[test]
fn refuses_what_it_cannot_answer_in_the_one_error_shape() {
    let server = Server::start(&["--body-limit", "2000"]);
    let chat = "/v1/chat/completions";
    let long = hello(&json!({ "user": "x".repeat(3000) })).to_string();
    let cases = [
        ("POST", chat, JSON, "{\"messages\":", 400, "malformed_request"),
        ("POST", chat, JSON, "{}", 400, "invalid_field"),
        ("POST", chat, "Content-Type: text/plain\r\n", "{}", 400, "invalid_field"),
        ("POST", chat, JSON, long.as_str(), 413, "body_too_large"),
        ("GET", chat, "", "", 405, "method_refused"),
        ("POST", "/healthz", "", "", 405, "method_refused"),
        ("GET", "/v1/completions", "", "", 404, "not_found"),
    ];
    for (method, path, headers, body, status, code) in cases {
        let answer = server.ask(method, path, headers, body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    }
    let nothing = server.ask("GET", "/v1/completions", "", "").json();
    let words = nothing["error"]["message"].as_str().expect("words for people").to_owned();
    for path in ["/v1/completions", chat, "/v1/embeddings", "/v1/models", "/healthz"] {
        assert!(words.contains(path), "{words}");
    }
    for (field, value) in [
        ("temperature", json!(3)),
        ("n", json!(0)),
        ("frequency_penalty", json!(9)),
        ("repetition_penalty", json!(0)),
        ("logit_bias", json!({ "0": 1000 })),
        ("logit_bias", json!({ "123456": 1 })),
        ("tools", json!([{ "type": "function" }])),
        ("tool_choice", json!("required")),
        ("functions", json!([{ "name": "a" }])),
        ("response_format", json!({ "type": "xml" })),
        ("response_format", json!({ "type": "regex", "pattern": "(" })),
        ("response_format", json!({ "type": "json_schema", "json_schema": { "schema": { "type": "colour" } } })),
    ] {
        let answer = server.chat(&hello(&json!({ field: value, "stream": true })));
        assert_eq!(answer.status, 400, "{}", answer.body);
        let param = answer.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
        assert!(param.starts_with(field), "{field}: {}", answer.body);
    }
    // After all that it still answers.
    assert_eq!(server.chat(&hello(&json!({}))).status, 200);
}

#[test]
fn a_conversation_longer_than_the_context_is_refused_even_as_a_stream() {
    let server = Server::start(&["--context", "32"]);
    let messages = json!([{ "role": "user", "content": "long ".repeat(20) }]);
    let answer = server.chat(&hello(&json!({ "messages": messages, "stream": true })));
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(answer.json()["error"]["code"], "context_length_exceeded");
}

#[test]
fn a_client_that_goes_away_frees_the_engine() {
    let server = Server::start(&[]);
    for streamed in [true, false] {
        let endless = hello(&json!({ "max_tokens": 90000, "stream": streamed }));
        let mut stream = server.send("POST", "/v1/chat/completions", JSON, &endless.to_string());
        if streamed {
            let mut first = [0; 400];
            stream.read_exact(&mut first).unwrap();
        } else {
            std::thread::sleep(Duration::from_millis(300));
        }
        drop(stream);
        // The answer would take minutes more; the next request gets its own in seconds.
        let answer = server.chat(&hello(&json!({})));
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "abcd");
    }
}

#[test]
fn a_full_queue_refuses_at_once() {
    let server = Server::start(&["--queue", "1"]);
    let endless = hello(&json!({ "max_tokens": 90000, "stream": true })).to_string();
    let mut running = server.send("POST", "/v1/chat/completions", JSON, &endless);
    // Once the first byte is here, it has left the queue.
    running.read_exact(&mut [0; 1]).unwrap();
    let _waiting = server.send("POST", "/v1/chat/completions", JSON, &endless);
    std::thread::sleep(Duration::from_millis(300));
    let answer = server.chat(&hello(&json!({})));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &"busy".into()));
    assert!(answer.head.contains("retry-after"), "{}", answer.head);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_in_time_even_in_the_middle_of_an_answer() {
    let mut server = Server::start(&[]);
    let endless = hello(&json!({ "max_tokens": 90000, "stream": true })).to_string();
    let mut stream = server.send("POST", "/v1/chat/completions", JSON, &endless);
    stream.read_exact(&mut [0; 1]).unwrap();
    let pid = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("shutting down"), "{}", &rest[rest.len().saturating_sub(300)..]);
    assert_eq!(ends_within(&mut server.child, Duration::from_secs(10)), Some(0));
}
