//! Any text as an answer: nothing is lost or invented where it is cut, and no text is said twice.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside_text::reply::{ReplyEvent, ReplyFormat, ReplyParser};

/// Templates' marks, one family a line.
const FAMILIES: [&str; 5] = [
    "<tool_call> <think>",
    "[TOOL_CALLS] [ARGS] [THINK]",
    "<|tool_call|> <response> </response>",
    "<|start_header_id|> <|python_tag|> <function=",
    "<｜tool▁calls▁begin｜> <|tool_call_start|>",
];

fn events<'t>(family: &str, tools: &[&str], pieces: impl Iterator<Item = &'t str>) -> Vec<ReplyEvent> {
    let mut parser = ReplyParser::new(&ReplyFormat::of_template(family), tools.iter().copied(), "");
    let mut all: Vec<ReplyEvent> = Vec::new();
    let mut add = |events: Vec<ReplyEvent>| {
        for event in events {
            match (all.last_mut(), event) {
                (Some(ReplyEvent::Content(before)), ReplyEvent::Content(text))
                | (Some(ReplyEvent::Thinking(before)), ReplyEvent::Thinking(text)) => before.push_str(&text),
                (_, event) => all.push(event),
            }
        }
    };
    pieces.for_each(|piece| add(parser.push(piece)));
    add(parser.finish());
    all
}

fuzz_target!(|input: (u8, &str)| {
    let (first, text) = input;
    let family = FAMILIES[usize::from(first) % FAMILIES.len()];
    let tools: &[&str] = if first & 0x80 == 0 { &["f", "weather"] } else { &[] };
    let whole = events(family, tools, std::iter::once(text));
    let single = events(family, tools, text.split_inclusive(|_: char| true));
    assert_eq!(whole, single);
    let said: usize = whole
        .iter()
        .map(|event| match event {
            ReplyEvent::Content(text) | ReplyEvent::Thinking(text) => text.len(),
            ReplyEvent::Call(_) => 0,
        })
        .sum();
    assert!(said <= text.len());
});
