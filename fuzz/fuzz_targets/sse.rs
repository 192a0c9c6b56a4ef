//! Any bytes as a stream of events, in any pieces: the same events, whatever the pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside_wire::sse::{Event, Reader};
use nearside_wire::ChatChunk;

fn read<'b>(limit: usize, pieces: impl Iterator<Item = &'b [u8]>) -> Option<Vec<Event>> {
    let mut reader = Reader::with_limit(limit);
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(reader.push(piece).ok()?);
    }
    events.extend(reader.finish());
    Some(events)
}

fuzz_target!(|bytes: &[u8]| {
    let size = usize::from(bytes.first().copied().unwrap_or(1) % 16) + 1;
    let whole = read(1 << 20, std::iter::once(bytes));
    assert_eq!(whole, read(1 << 20, bytes.chunks(size)));
    let _ = read(64, bytes.chunks(size));
    for event in whole.unwrap_or_default() {
        let _ = event.json::<ChatChunk>();
    }
});
