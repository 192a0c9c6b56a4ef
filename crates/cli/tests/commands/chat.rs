//! `nearside chat`.

use serde_json::Value;

use crate::support::{Folder, nearside_with_input};

#[test]
fn a_conversation_reuses_what_it_has_read_and_reset_forgets_it() {
    let folder = Folder::new();
    let model = folder.model();
    let arguments =
        ["chat", "--model", &model, "--max-tokens", "4", "--temperature", "0", "--backend", "cpu", "--json"];
    let ran = nearside_with_input(&arguments, "first\nsecond\n/reset\nthird\n/quit\nnever\n");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let answers: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 3, "{}", ran.stdout);
    assert!(answers.iter().all(|answer| answer["text"] == "abcd"), "{}", ran.stdout);
    let count = |answer: &Value, name: &str| answer[name].as_u64().unwrap();
    assert!(count(&answers[1], "reused_tokens") >= count(&answers[0], "prompt_tokens"), "{}", ran.stdout);
    assert!(count(&answers[2], "prompt_tokens") < count(&answers[1], "prompt_tokens"), "{}", ran.stdout);
}

#[test]
fn a_question_that_does_not_fit_leaves_the_conversation_alive() {
    let folder = Folder::new();
    let model = folder.model();
    let arguments =
        ["chat", "--model", &model, "--max-tokens", "2", "--temperature", "0", "--context", "64", "--backend", "cpu"];
    let ran = nearside_with_input(&arguments, &format!("{}\nshort\n", "long ".repeat(40)));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: the prompt has"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "ab\n");
}
