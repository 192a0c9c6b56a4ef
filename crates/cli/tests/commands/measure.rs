//! `nearside eval` and `nearside bench`.

use serde_json::{Value, json};

use crate::support::{Folder, nearside};

/// The ids of letters in the alphabet model.
fn ids(text: &str) -> Vec<u32> {
    text.chars().map(|letter| u32::from(letter) - u32::from('!') + 1).collect()
}

/// What a reference engine would have recorded of the alphabet model.
fn vectors() -> Value {
    json!({
        "model": "alphabet.gguf",
        "engine": "by hand",
        "prompts": [
            { "prompt": "a", "ids": ids("a"), "next_top10": [[ids("b")[0], -0.0012]], "greedy": ids("bcd"), "greedy_margin": [9.0, 9.0, 9.0] },
            { "prompt": "k", "ids": ids("k"), "next_top10": [[ids("l")[0], -0.0012]], "greedy": ids("lmx"), "greedy_margin": [9.0, 9.0, 0.1] },
        ],
        "text": "abcdef",
        "text_ids": ids("abcdef"),
        "text_nll": [0.0012, 0.0012, 0.0012, 0.0012, 0.0012],
        "text_perplexity": 1.0012,
    })
}

#[test]
fn parity_counts_what_is_equal() {
    let folder = Folder::new();
    let (model, vectors) = (folder.model(), folder.file("vectors.json", vectors().to_string().as_bytes()));
    let ran = nearside(&["eval", "parity", "--model", &model, "--vectors", &vectors, "--backend", "cpu", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report = ran.json();
    let counts =
        ["prompts", "ids_equal", "top1_equal", "greedy_equal", "greedy_until_margin"].map(|name| &report[name]);
    assert_eq!(counts, [2, 2, 2, 1, 2].map(Value::from).each_ref(), "{report}");
    assert_eq!(report["text_ids_equal"], Value::from(true), "{report}");
    assert!(report["max_abs_dlogprob"].as_f64().unwrap() < 1e-3, "{report}");
    assert!((report["ppl"].as_f64().unwrap() - report["ppl_ref"].as_f64().unwrap()).abs() < 1e-3, "{report}");
}

#[test]
fn parity_refuses_a_file_without_vectors() {
    let folder = Folder::new();
    let (model, vectors) = (folder.model(), folder.file("vectors.json", b"{\"prompts\": []}"));
    let ran = nearside(&["eval", "parity", "--model", &model, "--vectors", &vectors, "--json"]);
    assert_eq!((ran.code, &ran.json()["error"]["code"]), (Some(1), &"file_unusable".into()));
}

#[test]
fn tokenizer_shows_what_differs() {
    let folder = Folder::new();
    let texts = folder.file("vectors.inp", b"abc\n__ggml_vocab_test__\nxy\n__ggml_vocab_test__\n");
    let wrong: Vec<String> = ids("xz").iter().map(ToString::to_string).collect();
    let right: Vec<String> = ids("abc").iter().map(ToString::to_string).collect();
    let expected = folder.file("vectors.out", format!(" {}\n {}\n", right.join(" "), wrong.join(" ")).as_bytes());
    let ran = nearside(&["eval", "tokenizer", "--model", &folder.model(), "--vectors", &texts, &expected, "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report = ran.json();
    assert_eq!((&report["total"], &report["passed"]), (&2.into(), &1.into()));
    assert_eq!(report["failed"][0], json!({ "text": "xy", "expected": ids("xz"), "found": ids("xy") }));
}

#[test]
fn bench_reports_rates_counters_and_the_machine() {
    let folder = Folder::new();
    let model = folder.model();
    let ran = nearside(&[
        "bench",
        "--model",
        &model,
        "--prompt-tokens",
        "16",
        "--tokens",
        "8",
        "--rounds",
        "3",
        "--backend",
        "cpu",
        "--json",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report = ran.json();
    for name in ["prefill_tokens_per_second", "decode_tokens_per_second", "first_token_ms"] {
        let [low, middle, high] = ["minimum", "median", "maximum"].map(|part| report[name][part].as_f64().unwrap());
        assert!(0.0 < low && low <= middle && middle <= high, "{name}: {report}");
    }
    // All weights but the embedding table: output, one layer, norms.
    let elements = 97 * 128 + 5 * 128 * 128 + 2 * 64 * 128 + 3 * 128;
    assert_eq!(report["weight_bytes_per_token"], elements * 4);
    assert_eq!(report["per_token"]["steps"], 1.0, "{report}");
    assert!(report["per_token"]["dispatches"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["machine"]["threads"].as_u64().unwrap() > 0);
}

#[test]
fn the_cpu_uses_as_many_threads_as_it_is_told() {
    let folder = Folder::new();
    let bench = ["bench", "--model", &folder.model(), "--prompt-tokens", "4", "--tokens", "2", "--rounds", "1"];
    for (threads, features) in [("1", "1 threads"), ("3", "3 threads")] {
        let ran = nearside(&[&bench[..], &["--backend", "cpu", "--threads", threads, "--json"]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let report = ran.json();
        assert!(report["backend"]["features"].as_array().unwrap().contains(&features.into()), "{report}");
    }
    let ran = nearside(&[&bench[..], &["--threads", "0"]].concat());
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

#[test]
fn speculation_is_measured_beside_the_plain_way() {
    let folder = Folder::new();
    let model = folder.model();
    let bench = |source: &str| {
        let arguments = ["bench", "--model", &model, "--backend", "cpu", "--tokens", "24", "--rounds", "1"];
        let ran = nearside(&[&arguments[..], &["--context", "4096", "--speculate", source, "--json"]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.json()
    };
    for source in ["lookup", &model] {
        let report = bench(source);
        assert_eq!((&report["identical"], &report["tokens"]), (&json!(true), &json!(24)), "{report}");
        assert!(report["accepted_tokens"].as_u64() <= report["drafted_tokens"].as_u64(), "{report}");
        assert!(report["speed_up"].as_f64().unwrap() > 0.0, "{report}");
    }
    // A model drafts for itself without a miss.
    assert!(bench(&model)["acceptance"].as_f64().unwrap() > 0.99);
    let ran = nearside(&["bench", "--model", &model, "--backend", "cpu", "--speculate", "nothing.gguf"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("nothing.gguf"), "{}", ran.stderr);
}
