//! `nearside run`.

use crate::support::{Folder, Ran, nearside, nearside_with_input};

/// Runs the tiny model on a prompt; `options` are words with spaces between them.
fn run(prompt: &str, options: &str) -> Ran {
    let folder = Folder::new();
    let model = folder.model();
    let arguments = ["run", "--model", &model, "--prompt", prompt];
    nearside(&arguments.into_iter().chain(options.split(' ')).collect::<Vec<_>>())
}

#[test]
fn json_holds_text_ids_and_timings() {
    let ran = run("xa", "--max-tokens 5 --temperature 0 --json --backend cpu");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report = ran.json();
    assert_eq!(report["text"], "bcdef");
    let ids: Vec<u64> = report["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    assert_eq!(ids, (0..5).map(|step| ids[0] + step).collect::<Vec<_>>());
    assert_eq!(report["finish_reason"], "length");
    assert_eq!(report["backend"]["kind"], "cpu");
    assert_eq!(report["usage"]["prompt_tokens"], 2);
    assert_eq!(report["usage"]["completion_tokens"], 5);
    for name in ["load_ms", "first_token_ms", "decode_tokens_per_second", "total_ms"] {
        assert!(report["timings"][name].as_f64().unwrap() > 0.0, "{name}: {report}");
    }
}

#[test]
fn text_alone_goes_to_standard_output() {
    let ran = run("m", "--max-tokens 3 --temperature 0");
    assert_eq!(ran.stdout, "nop\n", "{}", ran.stderr);
    // Nobody chose a backend, so it says which one it took and why.
    assert!(ran.stderr.lines().any(|line| line.starts_with("backend: ")), "{}", ran.stderr);
}

#[test]
fn the_prompt_can_come_from_standard_input() {
    let folder = Folder::new();
    let model = folder.model();
    let arguments =
        ["run", "--model", &model, "--prompt", "-", "--max-tokens", "2", "--temperature", "0", "--backend", "cpu"];
    assert_eq!(nearside_with_input(&arguments, "f").stdout, "gh\n");
}

#[test]
fn it_ends_at_stop_texts_and_at_the_models_own_end() {
    let run = |prompt: &str, more: &str| run(prompt, &format!("--temperature 0 --backend cpu --json{more}")).json();
    let stopped = run("a", " --stop ef");
    assert_eq!((&stopped["text"], &stopped["finish_reason"]), (&"bcd".into(), &"stop".into()));
    let ended = run("hey!", "");
    assert_eq!((&ended["text"], &ended["finish_reason"]), (&"".into(), &"stop".into()));
    let full = run("a", " --context 8 --max-tokens 100");
    assert_eq!(full["finish_reason"], "context_full", "{full}");
}

#[test]
fn a_seed_makes_it_repeatable() {
    let run = || run("a", "--max-tokens 30 --temperature 50 --top-p 1 --min-p 0 --seed 7 --backend cpu").stdout;
    let first = run();
    assert_ne!(first, "bcdefghijklmnopqrstuvwxyzabcde\n");
    assert_eq!(first, run());
}

#[test]
fn a_prompt_that_does_not_fit_is_refused() {
    let ran = run("too long for it", "--context 8 --backend cpu --json");
    assert_eq!(ran.code, Some(1));
    let message = ran.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("15") && message.contains('8'), "{message}");
}

#[test]
fn the_gpu_says_the_same() {
    let ran = run("xa", "--max-tokens 5 --temperature 0 --json --backend gpu");
    let report = ran.json();
    if report["error"]["code"] == "backend_unavailable" {
        eprintln!("skipped: {}", report["error"]["message"].as_str().unwrap());
        return;
    }
    assert_eq!((ran.code, &report["text"]), (Some(0), &"bcdef".into()), "{}", ran.stderr);
    assert_eq!(report["backend"]["kind"], "gpu");
}
