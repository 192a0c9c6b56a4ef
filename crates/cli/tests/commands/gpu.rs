//! What the GPU costs, and what follows when it fails. A software adapter serves as well as a real one.

use serde_json::{Value, json};

use crate::server::{JSON, Server, hello};
use crate::support::{Folder, Ran, cached_model, nearside};

/// Whether there is no adapter to test with.
fn no_gpu(ran: &Ran) -> bool {
    let none = ran.code != Some(0) && (ran.stdout.contains("no usable GPU") || ran.stderr.contains("no usable GPU"));
    if none {
        eprintln!("skipped: {}{}", ran.stdout.trim(), ran.stderr.trim());
    }
    none
}

fn bench(model: &str, more: &[&str]) -> Option<Value> {
    let arguments = ["bench", "--model", model, "--backend", "gpu", "--prompt-tokens", "20", "--rounds", "2", "--json"];
    let ran = nearside(&[&arguments[..], more].concat());
    if no_gpu(&ran) {
        return None;
    }
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    Some(ran.json())
}

/// Fails unless a token costs what it may.
fn frugal(report: &Value) {
    let per_token = &report["per_token"];
    for (name, expected) in
        [("steps", 1.0), ("submits", 1.0), ("passes", 1.0), ("blocking_syncs", 0.0), ("late_resources", 0.0)]
    {
        assert_eq!(per_token[name], expected, "{name}: {report}");
    }
    let ratio = per_token["weight_bytes_ratio"].as_f64().unwrap();
    assert!((0.98..=1.02).contains(&ratio), "{report}");
    for name in ["first_question_ms", "second_question_ms"] {
        assert!(report[name]["median"].as_f64().unwrap() > 0.0, "{report}");
    }
}

#[test]
fn a_token_is_one_submit_of_one_pass_without_a_wait() {
    let folder = Folder::new();
    let Some(report) = bench(&folder.model(), &["--tokens", "8", "--context", "200"]) else { return };
    frugal(&report);
    let Some(model) = cached_model("SmolLM2-135M-Instruct.Q4_1.gguf") else {
        eprintln!("skipped: SmolLM2 is not in the cache; `cargo xtask models` brings it");
        return;
    };
    let Some(report) = bench(&model.display().to_string(), &["--tokens", "6", "--context", "200"]) else { return };
    frugal(&report);
    // Eight for each of thirty layers; the embedding, the head and the choice come once a token.
    assert!(report["per_token"]["dispatches_per_layer"].as_f64().unwrap() < 8.5, "{report}");
}

#[test]
fn kernels_are_timed_beside_plain_copies() {
    let folder = Folder::new();
    let Some(report) = bench(&folder.model(), &["--kernels", "--context", "200"]) else { return };
    assert!(report["copy"]["gigabytes_per_second"].as_f64().unwrap() > 0.0, "{report}");
    // A slow adapter reads the prompt in several steps.
    for (step, least, most, position) in [("decode", 1, 1, 20), ("prefill", 8, 20, 0)] {
        let step = &report[step];
        assert!((least..=most).contains(&step["tokens"].as_u64().unwrap()), "{report}");
        assert_eq!(step["position"], position, "{report}");
        let kernels = step["kernels"].as_array().unwrap();
        let count: u64 = kernels.iter().map(|kernel| kernel["count"].as_u64().unwrap()).sum();
        assert_eq!(step["dispatches"], count, "{report}");
        let share: f64 = kernels.iter().map(|kernel| kernel["share"].as_f64().unwrap()).sum();
        assert!((share - 1.0).abs() < 1e-4, "{report}");
        // The head, by itself and beside a copy of as many bytes: 97 rows take seven groups of sixteen.
        let head = kernels.iter().find(|kernel| kernel["shape"] == "97x128 F32" && kernel.get("matrix").is_some());
        let head = &head.unwrap_or_else(|| panic!("{report}"))["matrix"];
        assert_eq!(head["weight_bytes_each"], 7 * 16 * 128 * 4);
        for name in ["gigabytes_per_second", "copy_microseconds_each", "fraction_of_copy", "fraction_of_same_copy"] {
            assert!(head[name].as_f64().unwrap() > 0.0, "{name}: {report}");
        }
    }
    let ran = nearside(&["bench", "--model", &folder.model(), "--kernels", "--backend", "cpu"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}

#[test]
fn a_gpu_that_computes_wrongly_is_not_used_and_the_reason_is_said() {
    let folder = Folder::new();
    let model = folder.model();
    let run = |more: &[&str]| {
        let arguments = ["run", "--model", &model, "--prompt", "a", "--max-tokens", "3", "--temperature", "0"];
        nearside(&[&arguments[..], &["--context", "200", "--gpu-fault", "wrong-numbers"], more].concat())
    };
    let ran = run(&[]);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "bcd"), "{}", ran.stderr);
    assert!(ran.stderr.contains("backend: cpu (no usable GPU: "), "{}", ran.stderr);
    if !ran.stderr.contains("computes wrongly") {
        eprintln!("skipped: {}", ran.stderr.trim());
        return;
    }
    assert!(ran.stderr.contains("instead of"), "{}", ran.stderr);
    // Who insists on the GPU is told the same and gets no answer.
    let ran = run(&["--backend", "gpu"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("computes wrongly"), "{}", ran.stderr);
}

#[test]
fn a_server_goes_on_after_its_gpu_was_lost() {
    let folder = Folder::new();
    let model = folder.model();
    let probed = nearside(&["inspect", &model, "--backend", "gpu", "--json"]);
    if no_gpu(&probed) {
        return;
    }
    for (fault, text) in [("lost-after=5", "abcdefghijkl"), ("lost-after=0", "abcdefghijkl")] {
        let server = Server::start(&["--backend", "gpu", "--context", "500", "--gpu-fault", fault]);
        let answer = server.chat(&hello(&json!({ "stream": true, "max_tokens": 12 })));
        assert_eq!(answer.status, 200, "{fault}: {}", answer.body);
        let mut events = answer.events();
        assert_eq!(events.pop(), Some("[DONE]"), "{fault}: {}", answer.body);
        let chunks = events.iter().map(|event| serde_json::from_str::<Value>(event).unwrap());
        let parts = chunks.filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()));
        assert_eq!(parts.collect::<String>(), text, "{fault}");
        // So does what comes after it.
        let answer = server.chat(&hello(&json!({})));
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "abcd", "{fault}: {}", answer.body);
        assert_eq!(server.ask("GET", "/healthz", "", "").status, 200);
    }
    let server = Server::start(&["--backend", "gpu", "--context", "500", "--gpu-fault", "lost-after=0"]);
    let answer = server.ask("POST", "/v1/embeddings", JSON, &json!({ "input": ["hello", "abc"] }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 2);
}
