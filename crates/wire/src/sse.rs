//! Server-sent events: a reader that takes bytes in any split, and the writer.

use serde::{Serialize, de::DeserializeOwned};

use crate::WireError;

/// What ends an OpenAI-compatible stream.
pub const DONE: &str = "data: [DONE]\n\n";

/// The most bytes one event may have, unless the reader is told otherwise.
pub const DEFAULT_LIMIT: usize = 1 << 20;

/// One event as it is sent.
///
/// A value that cannot be written as JSON becomes the error event that says so, because a stream under way has no
/// other place to say it.
pub fn write(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).or_else(|error| {
        let problem = format!("a chunk could not be written as JSON: {error}");
        serde_json::to_string(&WireError::Internal { problem }.body())
    });
    format!("data: {}\n\n", json.unwrap_or_default())
}

/// One event as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The event's type; `message` if it named none.
    pub kind: String,
    /// Its data, lines joined by line feeds.
    pub data: String,
}

impl Event {
    /// Whether this is the end of an OpenAI-compatible stream.
    pub fn is_done(&self) -> bool {
        self.data.trim() == "[DONE]"
    }

    /// The data read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, SseError> {
        serde_json::from_str(&self.data).map_err(|error| SseError::NotJson { reason: error.to_string() })
    }
}

/// Why a stream could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event does not end.
    #[error(
        "an event of the stream is longer than {limit} bytes; the server sends something else than chat chunks, or \
         the reader's limit is too low for it"
    )]
    EventTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// An event's data is not what was expected.
    #[error("an event of the stream is not the expected JSON: {reason}; the stream may have been cut off")]
    NotJson {
        /// What the parser said.
        reason: String,
    },
}

/// Reads events from bytes in any split, with bounded memory.
#[derive(Clone, Debug)]
pub struct Reader {
    limit: usize,
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    kind: Vec<u8>,
    after_carriage_return: bool,
    at_start: bool,
    failed: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl Reader {
    /// A reader with the default limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// A reader that refuses events of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            data: None,
            kind: Vec::new(),
            after_carriage_return: false,
            at_start: true,
            failed: false,
        }
    }

    /// Takes the next bytes and gives the events they complete.
    ///
    /// An error is final: it is given again on every later call.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Event>, SseError> {
        let mut events = Vec::new();
        while !bytes.is_empty() && !self.failed {
            if std::mem::take(&mut self.after_carriage_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|&byte| byte == b'\n' || byte == b'\r');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.held() + part.len() > self.limit {
                self.failed = true;
                break;
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { break };
            self.after_carriage_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            events.extend(self.end_line());
        }
        if self.failed {
            self.line = Vec::new();
            self.data = None;
            return Err(SseError::EventTooLarge { limit: self.limit });
        }
        Ok(events)
    }

    /// The last event, if the stream ended without the empty line that should follow it.
    pub fn finish(mut self) -> Option<Event> {
        if self.failed {
            return None;
        }
        let ended = if self.line.is_empty() { None } else { self.end_line() };
        ended.or_else(|| self.dispatch())
    }

    fn held(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, Vec::len) + self.kind.len()
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mut content = line.as_slice();
        if std::mem::take(&mut self.at_start) {
            content = content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content);
        }
        let event = if content.is_empty() {
            self.dispatch()
        } else {
            self.take_field(content);
            None
        };
        // The buffer is kept so that a long stream does not allocate anew for every line.
        self.line = line;
        self.line.clear();
        event
    }

    fn take_field(&mut self, line: &[u8]) {
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            b"event" => self.kind = value.to_vec(),
            // Comments have an empty name. Ids and retry times serve reconnection, which a chat stream cannot do.
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        let kind = std::mem::take(&mut self.kind);
        let data = self.data.take()?;
        let kind = if kind.is_empty() { "message".to_owned() } else { String::from_utf8_lossy(&kind).into_owned() };
        Some(Event { kind, data: String::from_utf8_lossy(&data).into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Event> {
        let mut reader = Reader::new();
        let mut events = Vec::new();
        for piece in pieces {
            events.extend(reader.push(piece).unwrap());
        }
        events.extend(reader.finish());
        events
    }

    fn data(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.data.as_str()).collect()
    }

    const AWKWARD: &str = "\u{FEFF}data: {\"a\":1}\r\n\r\n: comment\n\ndata:no space\ndata:\ndata: third é😀\n\n\
        event: error\rdata: cr\r\rid: 7\nretry: 10\ndata\n\nevent: lonely\n\ndata: [DONE]\n\n";

    #[test]
    fn every_split_in_three_gives_the_same_events() {
        let bytes = AWKWARD.as_bytes();
        let whole = read(&[bytes]);
        assert_eq!(data(&whole), ["{\"a\":1}", "no space\n\nthird é😀", "cr", "", "[DONE]"]);
        assert_eq!(whole[2].kind, "error");
        assert_eq!(whole[4].kind, "message");
        assert!(whole[4].is_done());
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                assert_eq!(
                    read(&[&bytes[..first], &bytes[first..second], &bytes[second..]]),
                    whole,
                    "{first} {second}"
                );
            }
        }
        assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn the_line_ends_may_be_of_any_kind() {
        for end in ["\n", "\r", "\r\n"] {
            let text = "data: a|data: b||data: c||".replace('|', end);
            assert_eq!(data(&read(&[text.as_bytes()])), ["a\nb", "c"], "{end:?}");
        }
    }

    #[test]
    fn an_event_without_its_empty_line_is_not_lost() {
        assert_eq!(data(&read(&[b"data: a\n\ndata: [DONE]"])), ["a", "[DONE]"]);
        assert_eq!(data(&read(&[b"data: a\n"])), ["a"]);
        assert!(read(&[b"", b": only a comment\n"]).is_empty());
    }

    #[test]
    fn an_endless_event_is_refused_whether_in_one_line_or_many() {
        let mut reader = Reader::with_limit(100);
        let error = (0..20).find_map(|_| reader.push(b"data: 0123456789").err());
        assert_eq!(error, Some(SseError::EventTooLarge { limit: 100 }));
        assert_eq!(reader.push(b"\n\ndata: a\n\n"), Err(SseError::EventTooLarge { limit: 100 }));

        let mut reader = Reader::with_limit(100);
        let error = (0..200).find_map(|_| reader.push(b"data:\n").err());
        assert_eq!(error, Some(SseError::EventTooLarge { limit: 100 }));

        let mut reader = Reader::with_limit(100);
        for _ in 0..1000 {
            assert_eq!(reader.push(b"data: 0123456789\n\n").unwrap().len(), 1);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_splits_never_matter() {
        // A small linear congruential generator is enough to wander through the reader's states.
        let mut state = 1_u32;
        let alphabet = b"data: \r\n:{}\xEF\xBB\xBF\xF0\x9F\x00event";
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    alphabet[(state >> 16) as usize % alphabet.len()]
                })
                .collect();
            let whole = read(&[&bytes]);
            let split = (state >> 8) as usize % bytes.len();
            assert_eq!(read(&[&bytes[..split], &bytes[split..]]), whole, "{bytes:?}");
        }
    }

    #[test]
    fn what_cannot_be_written_says_so_in_the_stream() {
        let unwritable = std::collections::BTreeMap::from([(vec![1], 1)]);
        let text = write(&unwritable);
        let event = read(&[text.as_bytes()]).remove(0);
        let body: crate::ErrorBody = event.json().unwrap();
        assert_eq!(body.error.code.as_deref(), Some("internal"));
    }
}
