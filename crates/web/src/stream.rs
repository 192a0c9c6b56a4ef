//! A near answer as chunks: held back while it is weighed, then passed on one by one.

use js_sys::Function;
use nearside_engine::{Finish, FinishReason};
use nearside_wire::{ChatChunk, Delta, Logprobs, NearsideNote, Timings, TokenLogprob, Usage};
use wasm_bindgen::JsValue;

use crate::error::WebError;
use crate::javascript::{goes_on, now, to_js, unique_id, unix_seconds};

/// The chunks of one answer on their way to the page.
pub(crate) struct Stream<'a> {
    emit: &'a Function,
    id: String,
    model: String,
    created: u64,
    note: NearsideNote,
    waiting: Vec<ChatChunk>,
    open: bool,
    started: f64,
    first: Option<f64>,
    last: f64,
}

impl<'a> Stream<'a> {
    /// An answer that is held back until it is opened.
    pub(crate) fn new(emit: &'a Function, model: &str, note: NearsideNote) -> Self {
        let started = now();
        let mut stream = Self {
            emit,
            id: unique_id("chatcmpl"),
            model: model.to_owned(),
            created: unix_seconds(),
            note,
            waiting: Vec::new(),
            open: false,
            started,
            first: None,
            last: started,
        };
        let start = ChatChunk::start(&stream.id, &stream.model, stream.created);
        stream.waiting.push(start);
        stream
    }

    /// Passes on what was held back, under the note that holds from now on.
    pub(crate) async fn open(&mut self, note: NearsideNote) -> Result<(), WebError> {
        self.note = note;
        self.open = true;
        self.pass_on().await
    }

    /// Gives the page a turn.
    pub(crate) async fn turn(&self) -> Result<(), WebError> {
        self.send(&JsValue::NULL).await
    }

    /// The answer's next token.
    pub(crate) async fn token(&mut self, text: String, probability: Option<TokenLogprob>) -> Result<(), WebError> {
        self.last = now();
        self.first.get_or_insert(self.last);
        if text.is_empty() && probability.is_none() {
            return self.turn().await;
        }
        let mut chunk = ChatChunk::text(&self.id, &self.model, self.created, text);
        chunk.choices[0].logprobs = probability.map(|probability| Logprobs { content: Some(vec![probability]) });
        self.waiting.push(chunk);
        if self.open { self.pass_on().await } else { self.turn().await }
    }

    /// The answer's end.
    pub(crate) async fn finish(&mut self, finish: Finish) -> Result<(), WebError> {
        let reason = match finish.reason {
            FinishReason::Stop => nearside_wire::FinishReason::Stop,
            FinishReason::Length | FinishReason::ContextFull => nearside_wire::FinishReason::Length,
        };
        let delta = Delta { content: (!finish.text_tail.is_empty()).then_some(finish.text_tail), ..Delta::default() };
        let mut chunk = ChatChunk::new(&self.id, &self.model, self.created, delta, Some(reason));
        chunk.usage = Some(Usage::new(finish.prompt_tokens as u64, finish.completion_tokens as u64));
        self.waiting.push(chunk);
        self.note.timings = Some(self.timings(finish.completion_tokens, finish.prompt_tokens, finish.reused_tokens));
        self.pass_on().await
    }

    fn timings(&self, written: usize, prompt: usize, reused: usize) -> Timings {
        let first = self.first.unwrap_or(self.last);
        let rate = |count: usize, milliseconds: f64| {
            (count > 0 && milliseconds > 0.0).then(|| count as f64 * 1000.0 / milliseconds)
        };
        Timings {
            prompt_tokens_per_second: rate(prompt.saturating_sub(reused), first - self.started),
            completion_tokens_per_second: rate(written.saturating_sub(1), self.last - first),
            first_token_milliseconds: self.first.map(|first| first - self.started),
            reused_tokens: Some(reused),
        }
    }

    async fn pass_on(&mut self) -> Result<(), WebError> {
        for mut chunk in std::mem::take(&mut self.waiting) {
            chunk.nearside = Some(self.note.clone());
            self.send(&to_js(&chunk)?).await?;
        }
        Ok(())
    }

    async fn send(&self, value: &JsValue) -> Result<(), WebError> {
        if goes_on(self.emit, value).await? { Ok(()) } else { Err(WebError::Aborted) }
    }
}
