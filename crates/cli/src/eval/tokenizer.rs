//! `nearside eval tokenizer`: the same token ids as the reference tokenizer?

use std::path::{Path, PathBuf};

use clap::Args;
use nearside_text::{SpecialTokens, Tokenizer};
use serde::Serialize;

use crate::arguments::CommonArguments;
use crate::failure::Failure;
use crate::model::read_table;
use crate::output;

/// The examples below the options.
const EXAMPLES: &str = "\
Examples:
  nearside eval tokenizer --model ggml-vocab-qwen2.gguf --vectors ggml-vocab-qwen2.gguf.inp ggml-vocab-qwen2.gguf.out

The first vector file holds texts with lines of __ggml_vocab_test__ between them, the second one line of
token ids for each. No backend takes part.";

/// Stands alone on the line between two texts.
const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

/// Compare token ids with recorded ones
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The model or vocabulary, a GGUF file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,

    /// The texts and their token ids
    #[arg(long, num_args = 2, value_names = ["INP", "OUT"], required = true)]
    vectors: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    passed: usize,
    total: usize,
    failed: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    text: String,
    expected: Vec<u32>,
    found: Vec<u32>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, common: CommonArguments) -> Result<(), Failure> {
    let (texts, expected) = match arguments.vectors.as_slice() {
        [texts, ids] => (read_texts(texts)?, read_ids(ids)?),
        _ => return Err(Failure::Usage("--vectors takes two files: the texts and their token ids".to_owned())),
    };
    if texts.len() != expected.len() {
        return Err(Failure::Usage(format!(
            "there are {} texts and {} lines of token ids; the two files do not belong together",
            texts.len(),
            expected.len()
        )));
    }
    let (_, gguf) = read_table(&arguments.model)?;
    let fail = |reason| Failure::Tokenizer { path: arguments.model.clone(), reason };
    let tokenizer = Tokenizer::from_metadata(&gguf.metadata).map_err(fail)?;
    let mut report = Report { passed: 0, total: texts.len(), failed: Vec::new() };
    for (text, expected) in texts.into_iter().zip(expected) {
        let found = tokenizer.encode(&text, SpecialTokens { add: false, parse: false }).map_err(fail)?;
        if found == expected {
            report.passed += 1;
        } else {
            report.failed.push(Difference { text, expected, found });
        }
    }
    if common.json {
        return output::write_json(&report);
    }
    for difference in &report.failed {
        let Difference { text, expected, found } = difference;
        output::write(&format!("different: {text:?}\n  expected {expected:?}\n  found    {found:?}\n"))?;
    }
    output::write(&format!("{} of {} passed: the token ids are equal\n", report.passed, report.total))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), reason: error.to_string() })
}

fn read_texts(path: &Path) -> Result<Vec<String>, Failure> {
    Ok(split_texts(&read(path)?))
}

/// A separator follows the last text too, or does not.
fn split_texts(content: &str) -> Vec<String> {
    content.strip_suffix(SEPARATOR).unwrap_or(content).split(SEPARATOR).map(str::to_owned).collect()
}

fn read_ids(path: &Path) -> Result<Vec<Vec<u32>>, Failure> {
    let line = |(number, line): (usize, &str)| {
        line.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| Failure::File {
            path: path.to_owned(),
            reason: format!("line {} holds something else than token ids", number + 1),
        })
    };
    read(path)?.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::split_texts;

    #[test]
    fn texts_keep_their_own_line_ends() {
        let content = "a\nb\n\n__ggml_vocab_test__\n\n__ggml_vocab_test__\n c";
        assert_eq!(split_texts(content), ["a\nb\n", "", " c"]);
        assert_eq!(split_texts("a\n__ggml_vocab_test__\n"), ["a"]);
    }
}
