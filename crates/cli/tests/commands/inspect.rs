//! `nearside inspect`.

use crate::support::{Folder, nearside};

#[test]
fn json_is_complete() {
    let folder = Folder::new();
    let report = nearside(&["inspect", &folder.model(), "--json", "--context", "1000"]).json();
    assert_eq!(report["architecture"]["name"], "llama");
    assert_eq!(report["architecture"]["supported"], true);
    assert_eq!(report["metadata"]["general.name"], "alphabet");
    assert_eq!(report["metadata"]["tokenizer.ggml.tokens"].as_array().unwrap().len(), 97);
    let tensors = report["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 12);
    assert_eq!(tensors[0]["name"], "token_embd.weight");
    assert_eq!(tensors[0]["type"], "F32");
    assert_eq!(tensors[0]["dimensions"], serde_json::json!([128, 97]));
    assert_eq!(tensors[0]["bytes"], 128 * 97 * 4);
    assert_eq!(report["types"][0]["tensors"], 12);
    // One layer, keys and values of 64 floats for each of 1000 tokens.
    assert_eq!(report["memory"]["cache_bytes"], 1000 * 2 * 64 * 4);
}

#[test]
fn text_shortens_long_arrays() {
    let folder = Folder::new();
    let ran = nearside(&["inspect", &folder.model()]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("llama (supported)"), "{}", ran.stdout);
    assert!(ran.stdout.contains("… 97 in all"), "{}", ran.stdout);
    assert!(ran.stdout.lines().all(|line| line.chars().count() < 600), "{}", ran.stdout);
}

#[test]
fn an_unknown_architecture_is_said_to_be_unsupported_and_is_no_failure() {
    let folder = Folder::new();
    let writer = nearside_gguf::Writer::new()
        .metadata("general.architecture", nearside_gguf::Value::Text("perceptron".to_owned()));
    let file = folder.file("other.gguf", &writer.finish());
    let ran = nearside(&["inspect", &file, "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report = ran.json();
    assert_eq!(report["architecture"]["supported"], false);
    let problem = report["architecture"]["problem"].as_str().unwrap();
    for name in ["perceptron", "llama", "qwen2", "qwen3", "gemma3", "phi3", "smollm3", "granite"] {
        assert!(problem.contains(name), "{problem}");
    }
}
