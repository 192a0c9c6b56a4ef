//! A request on its way to the far side: what is sent, and the answer's stream coming back.

use nearside_route::{Receipt, Redactions, Restorer};
use nearside_wire::sse::{Event, Reader};
use nearside_wire::{ChatChunk, ChatRequest, ErrorBody, StreamOptions};
use serde::Deserialize;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::WebError;
use crate::javascript::{to_js, to_json};
use crate::routing::cover;

/// One crossing. It holds the values that placeholders stand for, so these never leave the page's worker.
#[wasm_bindgen]
pub struct Crossing {
    body: String,
    model: String,
    messages: usize,
    redactions: Redactions,
    restorer: Restorer,
    reader: Option<Reader>,
    done: bool,
    /// Gives late text a chunk to travel in.
    last: Option<ChatChunk>,
    cost_microdollars: Option<f64>,
}

/// The part of a chunk in which the Worker says what the answer cost.
#[derive(Deserialize)]
struct Priced {
    usage: Option<Price>,
}

#[derive(Deserialize)]
struct Price {
    cost_microdollars: Option<f64>,
}

#[wasm_bindgen]
impl Crossing {
    /// Prepares a request: what must not leave is replaced, and the answer will be a stream.
    #[wasm_bindgen(constructor)]
    pub fn new(request: &JsValue, model: Option<String>, redact: bool) -> Result<Crossing, JsValue> {
        Ok(Self::prepare(request, model, redact)?)
    }

    /// The exact body to send.
    pub fn body(&self) -> String {
        self.body.clone()
    }

    /// The model asked for; empty for the Worker's own choice.
    pub fn model(&self) -> String {
        self.model.clone()
    }

    /// What was replaced: kind, placeholder and value of each.
    pub fn redactions(&self) -> Result<JsValue, JsValue> {
        Ok(to_js(&self.redactions.entries)?)
    }

    /// Millionths of a dollar that the answer cost, once the far side has said so.
    pub fn cost(&self) -> Option<f64> {
        self.cost_microdollars
    }

    /// The receipt of sending this to `destination` now.
    pub fn receipt(&self, destination: String, reasons: Vec<String>) -> Result<JsValue, JsValue> {
        Ok(to_js(&self.written(destination, reasons)?)?)
    }

    /// Takes bytes of the answer; gives the chunks they complete, with the placeholders restored.
    pub fn push(&mut self, bytes: &[u8]) -> Result<JsValue, JsValue> {
        let events = match &mut self.reader {
            Some(reader) => reader.push(bytes).map_err(WebError::from)?,
            None => Vec::new(),
        };
        Ok(to_js(&self.take(events)?)?)
    }

    /// The answer's end; an answer that was cut off is an error.
    pub fn finish(&mut self) -> Result<JsValue, JsValue> {
        let events = self.reader.take().and_then(Reader::finish);
        let mut chunks = self.take(events.into_iter().collect())?;
        if !self.done {
            return Err(WebError::CutOff.into());
        }
        chunks.extend(self.rest());
        Ok(to_js(&chunks)?)
    }
}

impl Crossing {
    fn prepare(request: &JsValue, model: Option<String>, redact: bool) -> Result<Self, WebError> {
        let mut request = ChatRequest::from_json(to_json("request", request)?.as_bytes())?;
        request.model = model.unwrap_or_default();
        request.stream = true;
        request.stream_options = Some(StreamOptions { include_usage: true, ..StreamOptions::default() });
        request.nearside = None;
        let redactions = cover(&mut request, redact);
        let body =
            serde_json::to_string(&request).map_err(|error| WebError::Internal { problem: error.to_string() })?;
        Ok(Self {
            body,
            model: request.model,
            messages: request.messages.len(),
            restorer: Restorer::new(&redactions),
            redactions,
            reader: Some(Reader::new()),
            done: false,
            last: None,
            cost_microdollars: None,
        })
    }

    fn written(&self, destination: String, reasons: Vec<String>) -> Result<Receipt, WebError> {
        let sent: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&self.body).map_err(|error| WebError::Internal { problem: error.to_string() })?;
        let mut receipt =
            Receipt::new(crate::javascript::unique_id("rcpt"), js_sys::Date::now() as u64).redacted(&self.redactions);
        receipt.destination = destination;
        receipt.model.clone_from(&self.model);
        receipt.bytes = self.body.len();
        receipt.fields = sent.into_iter().map(|(name, _)| name).collect();
        receipt.messages = self.messages;
        receipt.reasons = reasons;
        Ok(receipt)
    }

    fn take(&mut self, events: Vec<Event>) -> Result<Vec<ChatChunk>, WebError> {
        let mut chunks = Vec::new();
        for event in events {
            if event.is_done() {
                self.done = true;
                break;
            }
            if let Ok(body) = event.json::<ErrorBody>() {
                return Err(WebError::Far { message: body.error.message });
            }
            let mut chunk: ChatChunk = event.json()?;
            let priced = event.json::<Priced>().ok().and_then(|chunk| chunk.usage);
            self.cost_microdollars = priced.and_then(|usage| usage.cost_microdollars).or(self.cost_microdollars);
            self.restore(&mut chunk);
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    fn restore(&mut self, chunk: &mut ChatChunk) {
        let Some(choice) = chunk.choices.first_mut() else { return };
        let had_text = choice.delta.content.is_some();
        let mut text = choice.delta.content.take().map(|text| self.restorer.push(&text)).unwrap_or_default();
        if choice.finish_reason.is_some() {
            // What looked like the beginning of a placeholder was the end of the answer.
            text += &self.restorer.finish();
            self.done = true;
        }
        if had_text || !text.is_empty() {
            choice.delta.content = Some(text);
        }
        self.last = Some(ChatChunk::empty(chunk.id.clone(), chunk.model.clone(), chunk.created));
    }

    fn rest(&mut self) -> Option<ChatChunk> {
        let text = self.restorer.finish();
        let last = self.last.take()?;
        (!text.is_empty()).then(|| ChatChunk::text(last.id, last.model, last.created, text))
    }
}
