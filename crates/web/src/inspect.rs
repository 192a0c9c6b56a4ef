//! What a model file says about itself, without loading it.

use std::collections::BTreeMap;

use nearside_gguf::{ByteSource, Gguf, Value};
use serde::Serialize;

use crate::error::WebError;
use crate::source::Source;

/// Vocabularies have a hundred thousand entries; nobody reads more than the first few.
const ARRAY_SHOWN: usize = 8;

/// The table of contents, for people.
#[derive(Serialize)]
pub(crate) struct Inspection {
    version: u32,
    architecture: String,
    name: String,
    parameters: u64,
    bytes: u64,
    tensors: Vec<Tensor>,
    metadata: BTreeMap<String, Shown>,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    #[serde(rename = "type")]
    data_type: &'static str,
    dimensions: Vec<u64>,
    bytes: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Number(f64),
    Flag(bool),
    Text(String),
    Array { length: usize, first: Vec<Shown> },
}

/// Reads a file's table of contents.
pub(crate) fn read(source: &Source) -> Result<Inspection, WebError> {
    let gguf = Gguf::read(source)?;
    let text = |key| gguf.metadata.text_if_present(key).ok().flatten().unwrap_or_default().to_owned();
    let tensors: Vec<_> = gguf
        .tensors
        .iter()
        .map(|tensor| Tensor {
            name: tensor.name.clone(),
            data_type: tensor.data_type.name(),
            dimensions: tensor.dimensions.clone(),
            bytes: tensor.size,
        })
        .collect();
    Ok(Inspection {
        version: gguf.version,
        architecture: text("general.architecture"),
        name: text("general.name"),
        parameters: gguf.tensors.iter().map(|tensor| tensor.dimensions.iter().product::<u64>()).sum(),
        bytes: source.len(),
        tensors,
        metadata: gguf.metadata.iter().map(|(key, value)| (key.to_owned(), show(value))).collect(),
    })
}

fn show(value: &Value) -> Shown {
    fn array<T>(values: &[T], shown: impl Fn(&T) -> Shown) -> Shown {
        Shown::Array { length: values.len(), first: values.iter().take(ARRAY_SHOWN).map(shown).collect() }
    }
    match value {
        Value::Unsigned(number) => Shown::Number(*number as f64),
        Value::Signed(number) => Shown::Number(*number as f64),
        Value::Float(number) => Shown::Number(*number),
        Value::Bool(flag) => Shown::Flag(*flag),
        Value::Text(text) => Shown::Text(text.clone()),
        Value::UnsignedArray(values) => array(values, |number| Shown::Number(*number as f64)),
        Value::SignedArray(values) => array(values, |number| Shown::Number(*number as f64)),
        Value::FloatArray(values) => array(values, |number| Shown::Number(f64::from(*number))),
        Value::BoolArray(values) => array(values, |flag| Shown::Flag(*flag)),
        Value::TextArray(texts) => Shown::Array {
            length: texts.len(),
            first: texts.iter().take(ARRAY_SHOWN).map(|text| Shown::Text(text.to_owned())).collect(),
        },
    }
}
