//! `nearside serve`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Folder, PATIENCE, command, ends_within};

/// A server that ends with the test.
struct Server {
    child: Child,
    address: String,
    _folder: Folder,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status, headers and body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The events' data.
    fn events(&self) -> Vec<&str> {
        self.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
    }
}

impl Server {
    fn start(more: &[&str]) -> Self {
        let folder = Folder::new();
        let model = folder.model();
        let arguments = ["serve", "--model", &model, "--port", "0", "--backend", "cpu"];
        let context: &[&str] = if more.contains(&"--context") { &[] } else { &["--context", "100000"] };
        let mut child = command(&[&arguments, context, more].concat()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}")).to_owned();
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, address, _folder: folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = self.connect();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut text = String::new();
        self.send(method, path, headers, body).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = if head.contains("transfer-encoding: chunked") { dechunk(body) } else { body.to_owned() };
        Answer { status, head: head.to_owned(), body }
    }

    fn chat(&self, body: &Value) -> Answer {
        self.ask("POST", "/v1/chat/completions", JSON, &body.to_string())
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").unwrap();
    }
    whole
}

fn hello(more: &Value) -> Value {
    let mut request =
        json!({ "messages": [{ "role": "user", "content": "hello" }], "temperature": 0, "max_tokens": 4 });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

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
    for (field, value) in [
        ("temperature", json!(3)),
        ("n", json!(2)),
        ("frequency_penalty", json!(1)),
        ("tools", json!([{ "type": "function" }])),
        ("response_format", json!({ "type": "json_object" })),
    ] {
        let answer = server.chat(&hello(&json!({ field: value, "stream": true })));
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &field.into()), "{}", answer.body);
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
