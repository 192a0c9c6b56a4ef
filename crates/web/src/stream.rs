//! A near answer as chunks: held back while it is weighed, then passed on one by one.

use js_sys::Function;
use nearside_engine::Finish;
use nearside_wire::{ChatChunk, Delta, FinishReason, Logprobs, NearsideNote, Timings, TokenLogprob, Usage};
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

    /// The answer's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What the answer's next token adds to the message.
    pub(crate) async fn token(
        &mut self,
        deltas: Vec<Delta>,
        probability: Option<TokenLogprob>,
    ) -> Result<(), WebError> {
        self.last = now();
        self.first.get_or_insert(self.last);
        if deltas.is_empty() && probability.is_none() {
            return self.turn().await;
        }
        self.add(deltas, probability);
        if self.open { self.pass_on().await } else { self.turn().await }
    }

    fn add(&mut self, mut deltas: Vec<Delta>, probability: Option<TokenLogprob>) {
        if deltas.is_empty() && probability.is_some() {
            deltas.push(Delta::text(""));
        }
        let mut probability = probability.map(|probability| Logprobs { content: Some(vec![probability]) });
        for delta in deltas {
            let mut chunk = ChatChunk::new(&self.id, &self.model, self.created, delta, None);
            chunk.choices[0].logprobs = probability.take();
            self.waiting.push(chunk);
        }
    }

    /// The answer's end, with what was held back until it was sure.
    pub(crate) async fn finish(
        &mut self,
        finish: &Finish,
        deltas: Vec<Delta>,
        reason: FinishReason,
    ) -> Result<(), WebError> {
        self.add(deltas, None);
        let mut chunk = ChatChunk::finish(&self.id, &self.model, self.created, reason);
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
