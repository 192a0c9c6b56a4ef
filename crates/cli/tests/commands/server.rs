//! A server to ask.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;

use serde_json::{Value, json};

use crate::model::thinker;
use crate::support::{Folder, PATIENCE, command};

/// A server that ends with the test.
pub(crate) struct Server {
    pub(crate) child: Child,
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
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// What it holds.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The events' data.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
    }
}

impl Server {
    /// A server of the alphabet.
    pub(crate) fn start(more: &[&str]) -> Self {
        let folder = Folder::new();
        let model = folder.model();
        Self::of(folder, &model, more)
    }

    /// A server of the model that thinks, with this template.
    pub(crate) fn thinking(template: &str) -> Self {
        let folder = Folder::new();
        let model = folder.file("thinker.gguf", &thinker(template));
        Self::of(folder, &model, &[])
    }

    /// A server of a real model.
    pub(crate) fn of_model(model: &Path) -> Self {
        Self::of(Folder::new(), &model.display().to_string(), &["--context", "2048"])
    }

    fn of(folder: Folder, model: &str, more: &[&str]) -> Self {
        let arguments = ["serve", "--model", model, "--port", "0"];
        let backend: &[&str] = if more.contains(&"--backend") { &[] } else { &["--backend", "cpu"] };
        let context: &[&str] = if more.contains(&"--context") { &[] } else { &["--context", "100000"] };
        let mut child = command(&[&arguments, backend, context, more].concat()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended: {said}");
            match line.trim().strip_prefix("listening on http://") {
                Some(address) => break address.to_owned(),
                // Drivers may have something to say first.
                None => said.push_str(&line),
            }
        };
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, address, _folder: folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request and leaves the answer to the caller.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = self.connect();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Sends a request and waits for the answer.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut text = String::new();
        self.send(method, path, headers, body).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = if head.contains("transfer-encoding: chunked") { dechunk(body) } else { body.to_owned() };
        Answer { status, head: head.to_owned(), body }
    }

    /// Asks for a chat answer.
    pub(crate) fn chat(&self, body: &Value) -> Answer {
        self.ask("POST", "/v1/chat/completions", JSON, &body.to_string())
    }
}

/// The header that a request's body needs.
pub(crate) const JSON: &str = "Content-Type: application/json\r\n";

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").unwrap();
    }
    whole
}

/// A question and more fields.
pub(crate) fn hello(more: &Value) -> Value {
    let mut request =
        json!({ "messages": [{ "role": "user", "content": "hello" }], "temperature": 0, "max_tokens": 4 });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}
