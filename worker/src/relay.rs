//! A stream passed on as it arrives.

use std::{collections::VecDeque, time::Duration};

use futures_util::{
    StreamExt,
    future::{Either, LocalBoxFuture, select},
    stream,
};
use nearside_wire::{ChatChunk, Usage, WireError, sse};
use worker::{ByteStream, Delay, Response};

use crate::{chat::Meter, failed, upstream::Lifeline};

/// How long the client hears nothing before a comment is sent to it. Writing is also the one way to learn that a client
/// has gone where the runtime does not tell.
const HEARTBEAT: Duration = Duration::from_secs(2);
const HEARTBEAT_TEXT: &[u8] = b": the far model is still at work\n\n";

/// The upstream's answer, when its head has come.
type Opening = LocalBoxFuture<'static, Result<Response, WireError>>;

/// Where the answer stands.
enum Source {
    /// The upstream has not begun.
    Opening(Opening),
    /// It sends.
    Flowing(ByteStream),
    /// Nothing more comes.
    Ended,
}

/// What lives as long as a stream does. Dropping it ends the upstream's request and settles the cost.
struct Relay {
    source: Source,
    reader: sse::Reader,
    ready: VecDeque<Vec<u8>>,
    meter: Meter,
    wants_usage: bool,
    silence: Duration,
    silence_limit: Duration,
    _lifeline: Lifeline,
}

/// Answers with the upstream's stream.
///
/// An upstream that fails at once gives an error with its status. To one that takes its time the client is not left
/// waiting in silence: the stream begins, and an error after that is its last event.
pub(crate) async fn answer(
    opening: Opening,
    mut meter: Meter,
    lifeline: Lifeline,
    wants_usage: bool,
    silence_seconds: u64,
) -> Result<Response, WireError> {
    let source = match select(opening, Delay::from(HEARTBEAT)).await {
        Either::Left((Ok(mut response), _)) => Source::Flowing(response.stream().map_err(failed)?),
        Either::Left((Err(error), _)) => return Err(meter.failed(error)),
        Either::Right(((), opening)) => Source::Opening(opening),
    };
    let relay = Relay {
        source,
        reader: sse::Reader::new(),
        ready: VecDeque::new(),
        meter,
        wants_usage,
        silence: Duration::ZERO,
        silence_limit: Duration::from_secs(silence_seconds),
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
            match &mut self.source {
                Source::Ended => return None,
                Source::Opening(opening) => match select(opening, Delay::from(HEARTBEAT)).await {
                    Either::Left((Ok(response), _)) => self.open(response),
                    Either::Left((Err(error), _)) => {
                        let error = self.meter.failed(error);
                        self.fail(&error);
                    }
                    Either::Right(_) => return Some(HEARTBEAT_TEXT.to_vec()),
                },
                Source::Flowing(bytes) => {
                    let beat = HEARTBEAT.min(self.silence_limit);
                    match select(bytes.next(), Delay::from(beat)).await {
                        Either::Left((piece, _)) => {
                            self.silence = Duration::ZERO;
                            self.flow(piece);
                        }
                        Either::Right(_) => {
                            self.silence += beat;
                            if self.silence < self.silence_limit {
                                return Some(HEARTBEAT_TEXT.to_vec());
                            }
                            self.fail(&WireError::UpstreamTimeout { seconds: self.silence_limit.as_secs() });
                        }
                    }
                }
            }
        }
    }

    fn open(&mut self, mut response: Response) {
        match response.stream() {
            Ok(bytes) => self.source = Source::Flowing(bytes),
            Err(error) => self.fail(&failed(error)),
        }
    }

    /// Takes what the upstream sent, or its end.
    fn flow(&mut self, piece: Option<worker::Result<Vec<u8>>>) {
        let events = match piece {
            Some(Ok(bytes)) => self.reader.push(&bytes).map_err(|error| error.to_string()),
            Some(Err(error)) => Err(format!("the upstream broke off ({error}); try again")),
            None => {
                self.source = Source::Ended;
                Ok(std::mem::take(&mut self.reader).finish().into_iter().collect())
            }
        };
        match events {
            Ok(events) => events.iter().for_each(|event| self.take(event)),
            Err(problem) => self.fail(&WireError::Upstream { problem }),
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
        self.source = Source::Ended;
        self.ready.push_back(sse::write(&error.body()).into_bytes());
    }
}
