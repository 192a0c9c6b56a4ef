//! Files that are no models: one clear error, exit code 1, no panic.

use crate::support::{Folder, Ran, nearside};

/// Every command that takes a model refuses it the same way.
fn assert_refused(file: &str, expected: &str) {
    let commands: [&[&str]; 5] = [
        &["inspect", file],
        &["run", "--model", file, "--prompt", "a"],
        &["chat", "--model", file],
        &["serve", "--model", file, "--port", "0"],
        &["bench", "--model", file],
    ];
    for arguments in commands {
        let ran = nearside(arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {}", ran.stderr);
        assert!(one_line_error(&ran).contains(expected), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");

        let with_json = [arguments, &["--json"]].concat();
        let ran = nearside(&with_json);
        assert_eq!(ran.code, Some(1), "{with_json:?}: {}", ran.stderr);
        let error = &ran.json()["error"];
        assert!(error["message"].as_str().unwrap().contains(expected), "{with_json:?}: {error}");
        assert!(error["type"].is_string() && error["code"].is_string(), "{error}");
    }
}

fn one_line_error(ran: &Ran) -> &str {
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    ran.stderr.strip_prefix("error: ").unwrap_or_else(|| panic!("{}", ran.stderr))
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new();
    assert_refused(&folder.path("nowhere.gguf").display().to_string(), "nowhere.gguf");
}

#[test]
fn an_empty_file_is_called_empty() {
    let folder = Folder::new();
    assert_refused(&folder.file("empty.gguf", b""), "0 bytes");
}

#[test]
fn a_text_file_is_not_taken_for_a_model() {
    let folder = Folder::new();
    assert_refused(&folder.file("page.gguf", b"<!doctype html><title>Not found</title>"), "GGUF");
}

#[test]
fn a_folder_is_not_taken_for_a_model() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("folder.gguf")).unwrap();
    assert_refused(&folder.path("folder.gguf").display().to_string(), "regular file");
}

#[test]
fn a_truncated_file_is_called_truncated_wherever_it_ends() {
    let folder = Folder::new();
    let whole = crate::model::alphabet();
    for length in [3, 20, 400, whole.len() / 2, whole.len() - 1] {
        let file = folder.file("cut.gguf", &whole[..length]);
        let ran = nearside(&["inspect", &file]);
        assert_eq!(ran.code, Some(1), "{length} bytes: {}", ran.stderr);
        assert!(one_line_error(&ran).contains("cut.gguf"), "{}", ran.stderr);
    }
    assert_refused(&folder.file("cut.gguf", &whole[..whole.len() - 1]), "truncated");
}
