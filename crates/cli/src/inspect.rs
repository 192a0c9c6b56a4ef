//! `nearside inspect`: what a file holds, and whether it runs here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use nearside_engine::architectures;
use nearside_gguf::{ByteSource, Gguf, TensorInfo, Value};
use serde::Serialize;
use serde_json::json;

use crate::arguments::{CommonArguments, positive};
use crate::backend::{BackendReport, choose};
use crate::failure::Failure;
use crate::model::read_table;
use crate::output::{self, size};

/// The examples below the options.
const EXAMPLES: &str = "\
Examples:
  nearside inspect smollm2.gguf
  nearside inspect smollm2.gguf --tensors --context 8192
  nearside inspect smollm2.gguf --json | jq '.metadata.\"general.name\"'

With --backend it also says whether that backend can be had on this machine.";

/// Longer arrays are shortened for people.
const SHOWN_ELEMENTS: usize = 4;
/// Longer texts are, too.
const SHOWN_CHARACTERS: usize = 100;

/// Say what a model file holds
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The GGUF file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// List every tensor
    #[arg(long)]
    tensors: bool,

    /// The context that memory is estimated for [default: the model's own, at most 4096]
    #[arg(long, value_name = "TOKENS", value_parser = positive)]
    context: Option<usize>,
}

#[derive(Serialize)]
struct Report<'a> {
    file: String,
    bytes: u64,
    version: u32,
    architecture: Architecture,
    parameters: u64,
    types: Vec<TypeTotal>,
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<BackendReport>,
    metadata: BTreeMap<&'a str, serde_json::Value>,
    tensors: Vec<Tensor<'a>>,
}

#[derive(Serialize)]
struct Architecture {
    name: Option<String>,
    supported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// All tensors of one type.
#[derive(Serialize)]
struct TypeTotal {
    #[serde(rename = "type")]
    name: &'static str,
    tensors: usize,
    elements: u64,
    bytes: u64,
}

/// What running it takes, activations not counted.
#[derive(Serialize)]
struct Memory {
    weight_bytes: u64,
    context: usize,
    cache_bytes: u64,
    total_bytes: u64,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    data_type: &'static str,
    dimensions: &'a [u64],
    offset: u64,
    bytes: u64,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments, common: CommonArguments) -> Result<(), Failure> {
    let (source, gguf) = read_table(&arguments.file)?;
    // The context changes how heads rotate, and nothing that is shown.
    let built = architectures::build(&gguf, &source, arguments.context.unwrap_or_default());
    let backend = match common.backend {
        Some(_) => Some(BackendReport::from(&choose(common).await?.backend.describe())),
        None => None,
    };
    let weight_bytes = gguf.tensors.iter().map(|tensor| tensor.size).sum();
    let report = Report {
        file: arguments.file.display().to_string(),
        bytes: source.len(),
        version: gguf.version,
        architecture: Architecture {
            name: gguf.metadata.text_if_present("general.architecture").ok().flatten().map(str::to_owned),
            supported: built.is_ok(),
            problem: built.as_ref().err().map(ToString::to_string),
        },
        parameters: gguf.tensors.iter().map(elements).sum(),
        types: totals(&gguf),
        memory: built.ok().map(|(config, graph)| {
            let context = arguments.context.unwrap_or(config.context.min(4096));
            let position: usize = graph.caches.iter().map(|cache| cache.heads * cache.head_dim).sum();
            // Keys and values, 4 bytes an element.
            let cache_bytes = (context as u64).saturating_mul(position as u64).saturating_mul(8);
            Memory { weight_bytes, context, cache_bytes, total_bytes: cache_bytes.saturating_add(weight_bytes) }
        }),
        backend,
        metadata: gguf.metadata.iter().map(|(key, value)| (key, to_json(value))).collect(),
        tensors: gguf.tensors.iter().map(Tensor::from).collect(),
    };
    if common.json { output::write_json_line(&report) } else { output::write(&text(&report, &gguf, arguments.tensors)) }
}

fn elements(tensor: &TensorInfo) -> u64 {
    tensor.dimensions.iter().product()
}

impl<'a> From<&'a TensorInfo> for Tensor<'a> {
    fn from(tensor: &'a TensorInfo) -> Self {
        Self {
            name: &tensor.name,
            data_type: tensor.data_type.name(),
            dimensions: &tensor.dimensions,
            offset: tensor.offset,
            bytes: tensor.size,
        }
    }
}

/// By type, the largest share first.
fn totals(gguf: &Gguf) -> Vec<TypeTotal> {
    let mut totals: Vec<TypeTotal> = Vec::new();
    for tensor in &gguf.tensors {
        let name = tensor.data_type.name();
        let (elements, bytes) = (elements(tensor), tensor.size);
        match totals.iter_mut().find(|total| total.name == name) {
            Some(total) => {
                total.tensors += 1;
                total.elements += elements;
                total.bytes += bytes;
            }
            None => totals.push(TypeTotal { name, tensors: 1, elements, bytes }),
        }
    }
    totals.sort_by(|left, right| right.bytes.cmp(&left.bytes).then(left.name.cmp(right.name)));
    totals
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Unsigned(number) => json!(number),
        Value::Signed(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Bool(flag) => json!(flag),
        Value::Text(text) => json!(text),
        Value::UnsignedArray(numbers) => json!(numbers),
        Value::SignedArray(numbers) => json!(numbers),
        Value::FloatArray(numbers) => json!(numbers),
        Value::BoolArray(flags) => json!(flags),
        Value::TextArray(texts) => json!(texts.iter().collect::<Vec<_>>()),
    }
}

fn text(report: &Report<'_>, gguf: &Gguf, list_tensors: bool) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{name:<13} {value}");
    };
    line("file", format!("{} ({})", report.file, size(report.bytes)));
    line(
        "format",
        format!(
            "GGUF version {}, {} tensors, {} metadata keys",
            report.version,
            report.tensors.len(),
            report.metadata.len()
        ),
    );
    let architecture = &report.architecture;
    line(
        "architecture",
        match (&architecture.name, &architecture.problem) {
            (Some(name), None) => format!("{name} (supported)"),
            (name, Some(problem)) => format!("{} (not supported: {problem})", name.as_deref().unwrap_or("none named")),
            (None, None) => "none named".to_owned(),
        },
    );
    line("parameters", format!("{:.1} million", report.parameters as f64 / 1e6));
    if let Some(memory) = &report.memory {
        line(
            "memory",
            format!(
                "about {}: weights {}, cache {} at {} tokens",
                size(memory.total_bytes),
                size(memory.weight_bytes),
                size(memory.cache_bytes),
                memory.context
            ),
        );
    }
    if let Some(backend) = &report.backend {
        line("backend", backend.to_string());
    }
    for total in &report.types {
        line("tensors", format!("{:<8} {:>5} of {}", total.name, total.tensors, size(total.bytes)));
    }
    let mut values: Vec<_> = gguf.metadata.iter().collect();
    values.sort_by_key(|(key, _)| *key);
    for (key, value) in values {
        line("metadata", format!("{key} = {}", shorten(value)));
    }
    if list_tensors {
        for tensor in &report.tensors {
            line(
                "tensor",
                format!(
                    "{:<8} {:?} {} ({} at {})",
                    tensor.data_type,
                    tensor.dimensions,
                    tensor.name,
                    size(tensor.bytes),
                    tensor.offset
                ),
            );
        }
    }
    text
}

/// A value as a person wants to see it.
fn shorten(value: &Value) -> String {
    fn array<T: std::fmt::Debug>(items: &[T]) -> String {
        let shown: Vec<String> = items.iter().take(SHOWN_ELEMENTS).map(|item| cut(&format!("{item:?}"))).collect();
        let more = if items.len() > SHOWN_ELEMENTS { format!(", … {} in all", items.len()) } else { String::new() };
        format!("[{}{more}]", shown.join(", "))
    }
    match value {
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Text(text) => cut(&format!("{text:?}")),
        Value::UnsignedArray(numbers) => array(numbers),
        Value::SignedArray(numbers) => array(numbers),
        Value::FloatArray(numbers) => array(numbers),
        Value::BoolArray(flags) => array(flags),
        Value::TextArray(texts) => array(&texts.iter().collect::<Vec<_>>()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
