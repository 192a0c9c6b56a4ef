//! A real model, where the cache has one.

use crate::support::{cached_model, nearside};

const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

#[test]
fn the_capital_of_france_is_paris() {
    let Some(model) = cached_model(MODEL) else {
        eprintln!("skipped: {MODEL} is not in the cache; `cargo xtask models` brings it");
        return;
    };
    let ran = nearside(&[
        "run",
        "--model",
        &model.display().to_string(),
        "--prompt",
        "The capital of France is",
        "--max-tokens",
        "8",
        "--temperature",
        "0",
        "--json",
        "--backend",
        "cpu",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report = ran.json();
    assert_eq!(report["prompt_ids"], serde_json::json!([504, 3575, 282, 4649, 314]));
    assert!(report["text"].as_str().unwrap().starts_with(" Paris."), "{report}");
    assert_eq!(report["ids"][0], 7042);
}
