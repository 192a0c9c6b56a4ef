//! Chat templates against the reference, Python's jinja2: see `tests/parity/templates/make.py`.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use nearside_gguf::{Metadata, Value};
use nearside_text::{ChatTemplate, Conversation, Message};
use serde::Deserialize;
use serde_json::Map;
use sha2::{Digest, Sha256};

/// The reference's clock.
const NOW: i64 = 1_753_351_440;

#[derive(Deserialize)]
struct Cases {
    tools: Vec<serde_json::Value>,
    conversations: Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Case {
    messages: Vec<Message>,
    #[serde(default)]
    tools: bool,
    #[serde(default)]
    variables: Map<String, serde_json::Value>,
    add_generation_prompt: bool,
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/templates").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn digest(text: &str) -> String {
    let mut digits = String::new();
    for byte in &Sha256::digest(text)[..12] {
        write!(digits, "{byte:02x}").unwrap();
    }
    digits
}

fn is_model(name: &str) -> bool {
    std::path::Path::new(name).extension() == Some("gguf".as_ref())
}

/// The template of that name: a model's own, or one of the collection.
fn source(name: &str) -> Option<String> {
    if is_model(name) {
        let header = support::header(&support::cache().join("models").join(name))?;
        return Some(header.metadata.text("tokenizer.chat_template").unwrap().to_owned());
    }
    let path = support::cache().join("vocabularies/templates").join(name);
    let Ok(source) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    Some(source)
}

fn template(source: &str) -> ChatTemplate {
    let mut metadata = Metadata::default();
    for (key, value) in [
        ("tokenizer.chat_template", Value::Text(source.to_owned())),
        ("tokenizer.ggml.tokens", Value::TextArray(vec!["<s>", "</s>"].into())),
        ("tokenizer.ggml.bos_token_id", Value::Unsigned(0)),
        ("tokenizer.ggml.eos_token_id", Value::Unsigned(1)),
    ] {
        metadata.insert(key.to_owned(), value);
    }
    ChatTemplate::from_metadata(&metadata).unwrap().unwrap()
}

/// Marks texts as safe and joins them with others, which the reference then escapes for HTML. No model was trained
/// on that, so we do not follow it.
const ESCAPES: &str = "meetkai-functionary-medium-v3.1.jinja";

/// Renders all that is at hand of the names that `wanted` picks, and compares where the reference renders.
fn compare(wanted: impl Fn(&str) -> bool) {
    let cases: Cases = read("conversations.json");
    let vectors: BTreeMap<String, Vec<Option<String>>> = read("vectors.json");
    let (mut templates, mut same, mut wrong) = (0, 0, Vec::new());
    for (name, expected) in vectors.iter().filter(|(name, _)| wanted(name)) {
        let Some(source) = source(name) else { continue };
        assert_eq!(Some(digest(&source)), expected[0], "{name} is not the template that the reference rendered");
        let template = template(&source);
        templates += 1;
        for ((case_name, case), expected) in cases.conversations.iter().zip(&expected[1..]) {
            let case = Case::deserialize(case).unwrap();
            let conversation = Conversation {
                messages: &case.messages,
                tools: if case.tools { &cases.tools } else { &[] },
                variables: Some(&case.variables),
                now: Some(NOW),
                add_generation_prompt: case.add_generation_prompt,
            };
            let rendered = template.render(conversation);
            match expected {
                Some(expected) if rendered.as_ref().is_ok_and(|text| digest(text) == *expected) => same += 1,
                Some(_) if name == ESCAPES && case.tools => {}
                Some(_) => wrong.push((name, case_name, rendered)),
                // What the reference refuses may be fine here: Python is stricter about some types.
                None => {}
            }
        }
    }
    eprintln!("{templates} templates, {same} texts as the reference's, {} others", wrong.len());
    for (template, case, text) in &wrong {
        eprintln!("=== {template}, {case}\n{}", text.clone().unwrap_or_else(|error| error.to_string()));
    }
    assert!(wrong.is_empty(), "{} texts are not the reference's", wrong.len());
}

#[test]
fn the_models_own_templates() {
    compare(is_model);
}

#[test]
fn the_collection_of_templates() {
    compare(|name| !is_model(name));
}
