//! Any text as a schema, an expression or a grammar, behind a letter that says which: an error or bounded work.

#![no_main]

#[path = "../../tests/hostile/vocabulary.rs"]
mod vocabulary;

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use nearside_engine::Constraint;
use nearside_text::Tokenizer;

/// Tried as answers, so that masks are computed and tokens taken as well.
const ANSWERS: [&str; 3] = ["{\"a\": [1, \"bab\", {\"a\": null}]} aaabbbaaab", "ababaaabbb", "-12.5e3"];

fn tokenizer() -> Arc<Tokenizer> {
    static TOKENIZER: OnceLock<Arc<Tokenizer>> = OnceLock::new();
    Arc::clone(TOKENIZER.get_or_init(vocabulary::tokenizer))
}

fuzz_target!(|input: &str| {
    let mut letters = input.chars();
    let constraint = match letters.next() {
        Some('j') => Constraint::JsonSchema(letters.as_str().to_owned()),
        Some('r') => Constraint::Regex(letters.as_str().to_owned()),
        Some('l') => Constraint::Lark(letters.as_str().to_owned()),
        _ => return,
    };
    for answer in ANSWERS {
        if constraint.accepts(&tokenizer(), answer).is_err() {
            return;
        }
    }
});
