//! A vocabulary to hold grammars to.

use std::sync::Arc;

use nearside_gguf::{Metadata, Value};
use nearside_text::Tokenizer;

/// The letters of ASCII, and some words of more than one.
pub(crate) fn tokenizer() -> Arc<Tokenizer> {
    let mut tokens = vec!["<|end|>".to_owned()];
    tokens.extend(('!'..='~').map(String::from));
    tokens.extend(["Ġ", "Ċ", "aa", "ab", "\"a", "{\"", "nu", "ll", "null", "[1"].map(str::to_owned));
    let merges = ["a a", "a b", "\" a", "{ \"", "n u", "l l", "nu ll", "[ 1"];
    let mut metadata = Metadata::default();
    for (key, value) in [
        ("model", Value::Text("gpt2".to_owned())),
        ("pre", Value::Text("qwen2".to_owned())),
        ("token_type", Value::SignedArray((0..tokens.len()).map(|id| if id == 0 { 3 } else { 1 }).collect())),
        ("tokens", Value::TextArray(tokens.into())),
        ("merges", Value::TextArray(merges.into_iter().collect())),
        ("eos_token_id", Value::Unsigned(0)),
    ] {
        metadata.insert(format!("tokenizer.ggml.{key}"), value);
    }
    Arc::new(Tokenizer::from_metadata(&metadata).expect("a sound vocabulary"))
}
