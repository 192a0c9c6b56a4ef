//! A generation's replies as an HTTP answer: whole, or as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use nearside_wire::{ChatChunk, ChatCompletion, Delta, FinishReason, Logprobs, Usage, sse};
use tokio::sync::mpsc::UnboundedReceiver;

use super::queue::{Reply, engine_gone};
use super::routes::error;

/// What all parts of an answer have in common.
pub(super) struct Head {
    /// The answer's.
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// Which model speaks.
    pub(super) model: String,
}

/// The whole answer at once.
pub(super) async fn whole(head: Head, mut replies: UnboundedReceiver<Reply>) -> Response {
    let mut text = String::new();
    let mut probabilities = Vec::new();
    let (reason, usage) = loop {
        match replies.recv().await {
            Some(Reply::Started) => {}
            Some(Reply::Token(piece, probability)) => {
                text.push_str(&piece);
                probabilities.extend(probability);
            }
            Some(Reply::Finished(reason, usage)) => break (reason, usage),
            Some(Reply::Failed(problem)) => return error(&problem),
            None => return error(&engine_gone()),
        }
    };
    let mut completion = ChatCompletion::text(head.id, head.model, head.created, text, reason);
    completion.usage = Some(usage);
    if let Some(choice) = completion.choices.first_mut().filter(|_| !probabilities.is_empty()) {
        choice.logprobs = Some(Logprobs { content: Some(probabilities) });
    }
    Json(completion).into_response()
}

/// The answer as it comes. The status waits for the generation to begin, so that a request that
/// cannot be answered still gets one that says so.
pub(super) async fn stream(head: Head, mut replies: UnboundedReceiver<Reply>, usage: bool) -> Response {
    match replies.recv().await {
        Some(Reply::Failed(problem)) => return error(&problem),
        None => return error(&engine_gone()),
        Some(_) => {}
    }
    let start = sse::write(&ChatChunk::start(&head.id, &head.model, head.created));
    let events = Events { head, replies, usage, ready: VecDeque::from([start]), over: false };
    let body = Body::from_stream(unfold(events, |mut events| async {
        let event = events.next().await?;
        Some((Ok::<_, Infallible>(event), events))
    }));
    let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, body).into_response()
}

/// The stream's state between two events.
struct Events {
    head: Head,
    replies: UnboundedReceiver<Reply>,
    usage: bool,
    ready: VecDeque<String>,
    over: bool,
}

impl Events {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.replies.recv().await {
                Some(Reply::Started) => {}
                Some(Reply::Token(text, probability)) => {
                    if text.is_empty() && probability.is_none() {
                        continue;
                    }
                    let delta = Delta { content: Some(text), ..Delta::default() };
                    let mut chunk = self.chunk(delta, None);
                    if let (Some(choice), Some(probability)) = (chunk.choices.first_mut(), probability) {
                        choice.logprobs = Some(Logprobs { content: Some(vec![probability]) });
                    }
                    self.ready.push_back(sse::write(&chunk));
                }
                Some(Reply::Finished(reason, usage)) => self.finish(reason, usage),
                // No `[DONE]`: what came is not the whole answer.
                Some(Reply::Failed(problem)) => self.fail(&problem),
                None => self.fail(&engine_gone()),
            }
        }
    }

    fn chunk(&self, delta: Delta, reason: Option<FinishReason>) -> ChatChunk {
        ChatChunk::new(&self.head.id, &self.head.model, self.head.created, delta, reason)
    }

    fn finish(&mut self, reason: FinishReason, usage: Usage) {
        self.over = true;
        self.ready.push_back(sse::write(&self.chunk(Delta::default(), Some(reason))));
        if self.usage {
            let mut chunk = ChatChunk::empty(&self.head.id, &self.head.model, self.head.created);
            chunk.usage = Some(usage);
            self.ready.push_back(sse::write(&chunk));
        }
        self.ready.push_back(sse::DONE.to_owned());
    }

    fn fail(&mut self, problem: &nearside_wire::WireError) {
        self.over = true;
        self.ready.push_back(sse::write(&problem.body()));
    }
}
