//! Ctrl-C.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Folder, PATIENCE, command, ends_within};

/// An answer that takes much longer than any test may.
const ENDLESS: [&str; 8] = ["--context", "100000", "--max-tokens", "100000", "--temperature", "0", "--backend", "cpu"];

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_run_stops_at_the_next_token() {
    let folder = Folder::new();
    let model = folder.model();
    let mut child = command(&[&["run", "--model", &model, "--prompt", "a"][..], &ENDLESS].concat()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 3];
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"bcd");
    interrupt(&child);
    // Its output must flow, or it could not end.
    let rest = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap());
    assert_eq!(ends_within(&mut child, Duration::from_secs(5)), Some(130));
    assert!(rest.join().unwrap().ends_with('\n'));
}

#[test]
fn with_json_the_report_says_so() {
    let folder = Folder::new();
    let model = folder.model();
    let mut child =
        command(&[&["run", "--json", "--model", &model, "--prompt", "a"][..], &ENDLESS].concat()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    interrupt(&child);
    let stdout = child.stdout.take().unwrap();
    let report = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap());
    assert_eq!(ends_within(&mut child, Duration::from_secs(5)), Some(130));
    let report: serde_json::Value = serde_json::from_str(&report.join().unwrap()).unwrap();
    // On a slow machine the interrupt may come while the model loads; that is an error object then.
    assert!(report["finish_reason"] == "interrupted" || report["error"]["code"] == "interrupted", "{report}");
}

#[test]
fn in_a_chat_it_stops_the_answer_and_then_at_the_prompt_the_chat() {
    let folder = Folder::new();
    let model = folder.model();
    let mut child =
        command(&[&["chat", "--model", &model][..], &ENDLESS].concat()).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(b"hello\n").unwrap();
    let mut first = [0; 3];
    stdout.read_exact(&mut first).unwrap();
    interrupt(&child);
    let mut rest = String::new();
    stdout.read_line(&mut rest).unwrap();
    assert!(rest.ends_with('\n'));

    // The conversation is still there.
    stdin.write_all(b"again\n").unwrap();
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"abc");
    interrupt(&child);
    stdout.read_line(&mut rest).unwrap();

    std::thread::sleep(Duration::from_millis(300));
    interrupt(&child);
    assert_eq!(ends_within(&mut child, PATIENCE), Some(130));
}
