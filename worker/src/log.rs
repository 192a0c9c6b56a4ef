//! One line per request, of lengths and times only.

use serde::Serialize;
use worker::{Request, console_log};

/// What is logged of a request. Nothing of a conversation, a token or an address ever goes in here.
#[derive(Serialize)]
pub(crate) struct Entry {
    method: String,
    path: &'static str,
    status: u16,
    /// Until the answer's head was ready; a stream goes on after it.
    milliseconds: u64,
    #[serde(skip)]
    begun: u64,
    pub(crate) request_bytes: usize,
    pub(crate) messages: usize,
    pub(crate) stream: bool,
    pub(crate) reserved_microdollars: u64,
    pub(crate) error: Option<&'static str>,
}

impl Entry {
    pub(crate) fn new(request: &Request, now: u64) -> Self {
        let path = match request.path().as_str() {
            "/v1/chat/completions" => "/v1/chat/completions",
            "/v1/models" => "/v1/models",
            "/healthz" => "/healthz",
            _ => "other",
        };
        Self {
            method: request.method().to_string(),
            path,
            status: 0,
            milliseconds: 0,
            begun: now,
            request_bytes: 0,
            messages: 0,
            stream: false,
            reserved_microdollars: 0,
            error: None,
        }
    }

    pub(crate) fn write(mut self, status: u16, now: u64) {
        self.status = status;
        self.milliseconds = now.saturating_sub(self.begun);
        console_log!("{}", serde_json::to_string(&self).unwrap_or_default());
    }
}
