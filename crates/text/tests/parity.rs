//! The token ids of the reference engine, on every model file that is at hand.

mod support;

use std::path::PathBuf;

use nearside_text::{SpecialTokens, Tokenizer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    prompts: Vec<Prompt>,
    text: String,
    text_ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Prompt {
    #[serde(rename = "prompt")]
    text: String,
    ids: Vec<u32>,
    greedy: Vec<u32>,
    greedy_text: String,
}

/// The tokenizer of a cached model file, or a line that says why not.
fn tokenizer(file: &str) -> Option<Tokenizer> {
    let header = support::header(&support::cache().join("models").join(file))?;
    Some(Tokenizer::from_metadata(&header.metadata).unwrap())
}

fn equals_the_reference(file: &str, vectors: &str) {
    let Some(tokenizer) = tokenizer(file) else { return };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity").join(vectors);
    let vectors: Vectors = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let special = SpecialTokens { add: true, parse: false };
    for prompt in &vectors.prompts {
        let ids = tokenizer.encode(&prompt.text, special).unwrap();
        assert_eq!(ids, prompt.ids, "{}", prompt.text);
        assert_eq!(tokenizer.decode(&ids), prompt.text);
        assert_eq!(tokenizer.decode(&prompt.greedy).trim_start(), prompt.greedy_text.trim_start());
    }
    let ids = tokenizer.encode(&vectors.text, special).unwrap();
    assert_eq!(ids, vectors.text_ids);
    assert_eq!(tokenizer.decode(&ids), vectors.text);
}

#[test]
fn smollm2() {
    equals_the_reference("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m.dev.json");
}

#[test]
fn gemma_3() {
    equals_the_reference("gemma-3-270m-Q4_K_M.gguf", "gemma-3-270m.dev.json");
}

#[test]
fn tinyllama() {
    equals_the_reference("tinyllama-1.1b-chat-IQ2_XXS.gguf", "tinyllama-1.1b-iq2.dev.json");
}

#[test]
fn qwen_2_5_coder() {
    equals_the_reference("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b.dev.json");
}
