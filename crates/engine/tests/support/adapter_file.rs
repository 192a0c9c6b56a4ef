//! Adapters for the tiny model.

use nearside_gguf::{DataType, Value, Writer};

use super::tiny::numbers;

/// What the adapters here change.
pub(crate) const WEIGHT: &str = "blk.0.attn_q.weight";

/// The two halves of a change of the tiny model's first query projection, 32 by 32.
pub(crate) fn halves(rank: u64) -> Vec<(String, DataType, Vec<u64>)> {
    let half = |letter: &str, shape: [u64; 2]| (format!("{WEIGHT}.lora_{letter}"), DataType::F32, shape.to_vec());
    vec![half("a", [32, rank]), half("b", [rank, 32])]
}

/// An adapter's file with other metadata or tensors than a sound one has.
pub(crate) fn file(changes: &[(&str, Value)], tensors: &[(String, DataType, Vec<u64>)]) -> Vec<u8> {
    let mut values = vec![
        ("general.type", Value::Text("adapter".to_owned())),
        ("adapter.type", Value::Text("lora".to_owned())),
        ("general.architecture", Value::Text("llama".to_owned())),
        ("adapter.lora.alpha", Value::Float(8.0)),
    ];
    for (key, value) in changes {
        values.retain(|(other, _)| other != key);
        values.push((key, value.clone()));
    }
    let mut writer = Writer::new();
    for (key, value) in values {
        writer = writer.metadata(key, value);
    }
    for (name, data_type, shape) in tensors {
        let elements: u64 = shape.iter().product();
        let bytes = match data_type {
            DataType::F32 => numbers(name, elements).iter().flat_map(|value| value.to_le_bytes()).collect(),
            other => vec![0; elements as usize / other.block_elements() * other.block_bytes()],
        };
        writer = writer.tensor(name, *data_type, shape, &bytes);
    }
    writer.finish()
}
