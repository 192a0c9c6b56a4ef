//! The command line itself.

use crate::support::{Folder, nearside};

#[test]
fn every_command_explains_itself_with_examples() {
    for command in
        [&["run"][..], &["chat"], &["serve"], &["inspect"], &["eval", "parity"], &["eval", "tokenizer"], &["bench"]]
    {
        let ran = nearside(&[command, &["--help"]].concat());
        assert_eq!(ran.code, Some(0), "{command:?}");
        for part in ["Examples:", "--json", "--backend", &format!("nearside {}", command.join(" "))] {
            assert!(ran.stdout.contains(part), "{command:?} lacks {part}: {}", ran.stdout);
        }
    }
}

#[test]
fn a_line_that_makes_no_sense_is_exit_code_2() {
    let folder = Folder::new();
    let model = folder.model();
    let lines: [&[&str]; 5] = [
        &["walk"],
        &["run", "--model", &model],
        &["run", "--model", &model, "--prompt", "a", "--top-p", "2"],
        &["run", "--model", &model, "--prompt", "a", "--chat", "--raw"],
        &["bench", "--model", &model, "--prompt-tokens", "100", "--context", "64", "--backend", "cpu"],
    ];
    for line in lines {
        let ran = nearside(line);
        assert_eq!(ran.code, Some(2), "{line:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{line:?}: {}", ran.stderr);
        let ran = nearside(&[line, &["--json"]].concat());
        assert_eq!((ran.code, &ran.json()["error"]["code"]), (Some(2), &"usage".into()), "{line:?}");
    }
}
