//! A near answer as chunks: held back while it is weighed, then passed on one by one.

use js_sys::Function;
use nearside_engine::Finish;
use nearside_wire::{ChatChunk, Delta, FinishReason, NearsideNote, Timings, TokenLogprob, Usage};
use wasm_bindgen::JsValue;

use crate::error::WebError;
use crate::javascript::{goes_on, now, to_js, unique_id, unix_seconds};

/// The chunks of one request's answers on their way to the page, one answer after the other.
pub(crate) struct Stream<'a> {
    emit: &'a Function,
    id: String,
    model: String,
    created: u64,
    note: NearsideNote,
    waiting: Vec<ChatChunk>,
    open: bool,
    answer: usize,
    clock: Clock,
}

/// When things happened, and what was counted.
struct Clock {
    started: f64,
    /// The first token of all.
    first: Option<f64>,
    /// The first token of the answer that is being given.
    answer_first: Option<f64>,
    last: f64,
    /// Tokens read for the first answer.
    read: usize,
    reused: usize,
    written: usize,
    drafted: usize,
    accepted: usize,
    /// Tokens that followed another one, and how long they took.
    followed: usize,
    following: f64,
}

impl<'a> Stream<'a> {
    /// An answer that is held back until it is opened.
    pub(crate) fn new(emit: &'a Function, model: &str, note: NearsideNote) -> Self {
        let mut stream = Self {
            emit,
            id: unique_id("chatcmpl"),
            model: model.to_owned(),
            created: unix_seconds(),
            note,
            waiting: Vec::new(),
            open: false,
            answer: 0,
            clock: Clock::new(),
        };
        stream.begin(0);
        stream
    }

    /// From here on it is this answer's chunks.
    pub(crate) fn begin(&mut self, answer: usize) {
        self.answer = answer;
        self.clock.answer_first = None;
        self.push(ChatChunk::start(&self.id, &self.model, self.created));
    }

    fn push(&mut self, chunk: ChatChunk) {
        self.waiting.push(chunk.of_answer(self.answer));
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

    /// The id of the request's answers.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What the answer's next token adds to the message.
    pub(crate) async fn token(
        &mut self,
        deltas: Vec<Delta>,
        probability: Option<TokenLogprob>,
    ) -> Result<(), WebError> {
        self.clock.token();
        if deltas.is_empty() && probability.is_none() {
            return self.turn().await;
        }
        self.add(deltas, probability);
        if self.open { self.pass_on().await } else { self.turn().await }
    }

    fn add(&mut self, deltas: Vec<Delta>, probability: Option<TokenLogprob>) {
        let parts = ChatChunk::parts((&self.id, &self.model, self.created), deltas, probability);
        self.waiting.extend(parts.map(|chunk| chunk.of_answer(self.answer)));
    }

    /// An answer's end, with what was held back until it was sure. The last one carries what all of them used.
    pub(crate) async fn finish(
        &mut self,
        finish: &Finish,
        deltas: Vec<Delta>,
        reason: FinishReason,
        last: bool,
    ) -> Result<(), WebError> {
        self.add(deltas, None);
        self.clock.finish(self.answer, finish);
        let mut chunk = ChatChunk::finish(&self.id, &self.model, self.created, reason);
        if last {
            chunk.usage = Some(self.clock.usage(finish.prompt_tokens));
            self.note.timings = Some(self.clock.timings());
        }
        self.push(chunk);
        self.pass_on().await
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

impl Clock {
    fn new() -> Self {
        let started = now();
        Self {
            started,
            first: None,
            answer_first: None,
            last: started,
            read: 0,
            reused: 0,
            written: 0,
            drafted: 0,
            accepted: 0,
            followed: 0,
            following: 0.0,
        }
    }

    fn token(&mut self) {
        self.last = now();
        self.first.get_or_insert(self.last);
        self.answer_first.get_or_insert(self.last);
    }

    fn finish(&mut self, answer: usize, finish: &Finish) {
        if answer == 0 {
            self.read = finish.prompt_tokens.saturating_sub(finish.reused_tokens);
            self.reused = finish.reused_tokens;
        }
        self.written += finish.completion_tokens;
        self.drafted += finish.drafted_tokens;
        self.accepted += finish.accepted_tokens;
        self.followed += finish.completion_tokens.saturating_sub(1);
        self.following += self.last - self.answer_first.unwrap_or(self.last);
    }

    fn usage(&self, prompt: usize) -> Usage {
        let usage = Usage::new(prompt as u64, self.written as u64).cached(self.reused as u64);
        usage.foreseen(self.drafted as u64, self.accepted as u64)
    }

    fn timings(&self) -> Timings {
        let rate = |count: usize, milliseconds: f64| {
            (count > 0 && milliseconds > 0.0).then(|| count as f64 * 1000.0 / milliseconds)
        };
        Timings {
            prompt_tokens_per_second: rate(self.read, self.first.unwrap_or(self.last) - self.started),
            completion_tokens_per_second: rate(self.followed, self.following),
            first_token_milliseconds: self.first.map(|first| first - self.started),
            reused_tokens: Some(self.reused),
        }
    }
}
