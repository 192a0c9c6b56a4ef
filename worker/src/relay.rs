//! A stream passed on as it arrives.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};
use nearside_wire::{ChatChunk, Usage, WireError, sse};
use worker::{ByteStream, Response};

use crate::{chat::Meter, failed, upstream, upstream::Lifeline};

/// What lives as long as a stream does. Dropping it ends the upstream's request and settles the cost.
struct Relay {
    source: ByteStream,
    reader: Option<sse::Reader>,
    ready: VecDeque<Vec<u8>>,
    meter: Meter,
    wants_usage: bool,
    silence_seconds: u64,
    _lifeline: Lifeline,
}

/// Answers with the upstream's stream.
pub(crate) fn stream(
    mut response: Response,
    meter: Meter,
    lifeline: Lifeline,
    wants_usage: bool,
    silence_seconds: u64,
) -> Result<Response, WireError> {
    let kind = response.headers().get("content-type").map_err(failed)?.unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("text/event-stream") {
        let problem = "the upstream was asked for a stream and sent something else; check that UPSTREAM_URL is the \
                       address of an OpenAI-compatible server";
        return Err(WireError::Upstream { problem: problem.to_owned() });
    }
    let relay = Relay {
        source: response.stream().map_err(failed)?,
        reader: Some(sse::Reader::new()),
        ready: VecDeque::new(),
        meter,
        wants_usage,
        silence_seconds,
        _lifeline: lifeline,
    };
    let pieces = stream::unfold(relay, |mut relay| async move {
        let piece = relay.next().await?;
        Some((Ok::<_, worker::Error>(piece), relay))
    });
    let answer = Response::from_stream(pieces).map_err(failed)?;
    let headers = answer.headers();
    headers.set("content-type", "text/event-stream; charset=utf-8").map_err(failed)?;
    headers.set("cache-control", "no-store").map_err(failed)?;
    Ok(answer)
}

impl Relay {
    /// The next bytes for the client; nothing at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            let reader = self.reader.as_mut()?;
            let outcome = match upstream::within(self.silence_seconds, self.source.next()).await {
                Ok(Some(Ok(bytes))) => reader.push(&bytes).map_err(|error| error.to_string()),
                Ok(None) => {
                    let last = self.reader.take().and_then(sse::Reader::finish);
                    Ok(last.into_iter().collect())
                }
                Ok(Some(Err(error))) => Err(format!("the upstream broke off ({error}); try again")),
                Err(timeout) => {
                    self.fail(&timeout);
                    continue;
                }
            };
            match outcome {
                Ok(events) => events.iter().for_each(|event| self.take(event)),
                Err(problem) => self.fail(&WireError::Upstream { problem }),
            }
        }
    }

    /// Passes an event on, and notes what it tells about the cost.
    fn take(&mut self, event: &sse::Event) {
        let mut data = std::borrow::Cow::Borrowed(event.data.as_str());
        if let Ok(chunk) = event.json::<ChatChunk>() {
            let text: usize = chunk
                .choices
                .iter()
                .map(|choice| {
                    let extra: usize = choice.delta.extra.values().map(|value| value.to_string().len()).sum();
                    choice.delta.content.as_deref().unwrap_or_default().len() + extra
                })
                .sum();
            self.meter.answer_bytes += text as u64;
            if let Some(usage) = chunk.usage {
                self.meter.usage = Some(usage);
                if chunk.choices.is_empty() && !self.wants_usage {
                    return;
                }
                data = self.with_cost(&event.data, &usage).map_or(data, std::borrow::Cow::Owned);
            }
        }
        let mut text = String::with_capacity(data.len() + 16);
        if event.kind != "message" {
            text.push_str("event: ");
            text.push_str(&event.kind);
            text.push('\n');
        }
        for line in data.lines() {
            text.push_str("data: ");
            text.push_str(line);
            text.push('\n');
        }
        text.push('\n');
        self.ready.push_back(text.into_bytes());
    }

    /// The chunk as the upstream wrote it, with the cost beside its usage.
    fn with_cost(&self, data: &str, usage: &Usage) -> Option<String> {
        let mut value: serde_json::Value = serde_json::from_str(data).ok()?;
        value
            .get_mut("usage")?
            .as_object_mut()?
            .insert("cost_microdollars".to_owned(), self.meter.price_of(usage).into());
        Some(value.to_string())
    }

    /// Ends the stream with one clear error.
    fn fail(&mut self, error: &WireError) {
        self.reader = None;
        self.ready.push_back(sse::write(&error.body()).into_bytes());
    }
}
