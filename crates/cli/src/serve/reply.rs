//! A generation's replies as an HTTP answer: whole, or as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use nearside_wire::{ChatChunk, ChatCompletion, ChatMessage, Choice, Delta, FinishReason, TokenLogprob, Usage, sse};
use tokio::sync::mpsc::UnboundedReceiver;

use super::answer::Reply;
use super::queue::engine_gone;
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
    let mut choices: Vec<Choice> = Vec::new();
    let usage = loop {
        match replies.recv().await {
            Some(Reply::Started) => {}
            Some(Reply::Part(answer, deltas, probability)) => {
                let choice = begun(&mut choices, answer);
                for delta in &deltas {
                    choice.message.absorb(delta);
                }
                if let Some(probability) = probability {
                    let logprobs = choice.logprobs.get_or_insert_default();
                    logprobs.content.get_or_insert_default().push(probability);
                }
            }
            Some(Reply::Ended(answer, reason)) => {
                let choice = begun(&mut choices, answer);
                // An answer that says nothing says so, unless it calls a tool instead.
                if choice.message.content.is_none() && reason != FinishReason::ToolCalls {
                    choice.message.content = Some("".into());
                }
                choice.finish_reason = Some(reason);
            }
            Some(Reply::Finished(usage)) => break usage,
            Some(Reply::Failed(problem)) => return error(&problem),
            None => return error(&engine_gone()),
        }
    };
    let mut completion = ChatCompletion::text(head.id, head.model, head.created, "", FinishReason::Stop);
    completion.choices = choices;
    completion.usage = Some(usage);
    Json(completion).into_response()
}

/// The answer of that number, from now on if not before; answers come in order.
fn begun(choices: &mut Vec<Choice>, answer: usize) -> &mut Choice {
    while choices.len() <= answer {
        let message = ChatMessage { role: "assistant".to_owned(), ..ChatMessage::default() };
        choices.push(Choice { index: choices.len(), message, logprobs: None, finish_reason: None });
    }
    &mut choices[answer]
}

/// The answer as it comes. The status waits for the generation to begin, so that a request that
/// cannot be answered still gets one that says so.
pub(super) async fn stream(head: Head, mut replies: UnboundedReceiver<Reply>, usage: bool) -> Response {
    match replies.recv().await {
        Some(Reply::Failed(problem)) => return error(&problem),
        None => return error(&engine_gone()),
        Some(_) => {}
    }
    let mut events = Events { head, replies, usage, ready: VecDeque::new(), begun: 0, over: false };
    events.begin(0);
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
    /// Answers whose speaker was named.
    begun: usize,
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
                Some(Reply::Part(answer, deltas, probability)) => self.part(answer, deltas, probability),
                Some(Reply::Ended(answer, reason)) => {
                    self.begin(answer);
                    let chunk = ChatChunk::finish(&self.head.id, &self.head.model, self.head.created, reason);
                    self.ready.push_back(sse::write(&chunk.of_answer(answer)));
                }
                Some(Reply::Finished(usage)) => self.finish(usage),
                // No `[DONE]`: what came is not the whole answer.
                Some(Reply::Failed(problem)) => self.fail(&problem),
                None => self.fail(&engine_gone()),
            }
        }
    }

    /// Names the speaker of the answers up to this one, where that was not done.
    fn begin(&mut self, answer: usize) {
        while self.begun <= answer {
            let chunk = ChatChunk::start(&self.head.id, &self.head.model, self.head.created);
            self.ready.push_back(sse::write(&chunk.of_answer(self.begun)));
            self.begun += 1;
        }
    }

    fn part(&mut self, answer: usize, deltas: Vec<Delta>, probability: Option<TokenLogprob>) {
        self.begin(answer);
        let Head { id, model, created } = &self.head;
        let parts = ChatChunk::parts((id, model, *created), deltas, probability);
        self.ready.extend(parts.map(|chunk| sse::write(&chunk.of_answer(answer))));
    }

    fn finish(&mut self, usage: Usage) {
        self.over = true;
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
