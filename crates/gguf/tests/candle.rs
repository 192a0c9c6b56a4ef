//! candle-core's own reader as a second opinion on valid files.

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::PathBuf;

use candle_core::quantized::gguf_file;
use nearside_gguf::{DataType, FileBytes, Gguf, Value, Writer};

/// Texts, numbers and array lengths, spelled so that both readers' types compare.
fn ours(value: &Value) -> String {
    match value {
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Float(number) => format!("{number:e}"),
        Value::Bool(flag) => flag.to_string(),
        Value::Text(text) => text.clone(),
        Value::UnsignedArray(list) => format!("{:?}", list.iter().map(u64::to_string).collect::<Vec<_>>()),
        Value::SignedArray(list) => format!("{:?}", list.iter().map(i64::to_string).collect::<Vec<_>>()),
        Value::FloatArray(list) => {
            format!("{:?}", list.iter().map(|number| format!("{:e}", f64::from(*number))).collect::<Vec<_>>())
        }
        Value::BoolArray(list) => format!("{:?}", list.iter().map(bool::to_string).collect::<Vec<_>>()),
        Value::TextArray(list) => format!("{list:?}"),
    }
}

fn theirs(value: &gguf_file::Value) -> String {
    use gguf_file::Value;
    match value {
        Value::U8(number) => number.to_string(),
        Value::I8(number) => number.to_string(),
        Value::U16(number) => number.to_string(),
        Value::I16(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::I32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::F32(number) => format!("{:e}", f64::from(*number)),
        Value::F64(number) => format!("{number:e}"),
        Value::Bool(flag) => flag.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("{:?}", list.iter().map(theirs).collect::<Vec<_>>()),
    }
}

fn both_agree<R: Read + Seek>(file: &Gguf, reader: &mut R) {
    let other = gguf_file::Content::read(reader).unwrap();
    assert_eq!(file.metadata.iter().count(), other.metadata.len());
    for (key, value) in file.metadata.iter() {
        assert_eq!(ours(value), theirs(&other.metadata[key]), "{key}");
    }
    assert_eq!(file.tensors.len(), other.tensor_infos.len());
    for tensor in &file.tensors {
        let info = &other.tensor_infos[&tensor.name];
        let dimensions: Vec<u64> = info.shape.dims().iter().rev().map(|dimension| *dimension as u64).collect();
        assert_eq!(tensor.dimensions, dimensions, "{}", tensor.name);
        assert_eq!(tensor.offset, other.tensor_data_offset + info.offset, "{}", tensor.name);
        let bytes = info.shape.elem_count() / info.ggml_dtype.block_size() * info.ggml_dtype.type_size();
        assert_eq!(tensor.size, bytes as u64, "{}", tensor.name);
    }
}

#[test]
fn agrees_on_a_written_file() {
    let bytes = Writer::new()
        .alignment(64)
        .metadata("text", Value::Text("ünï".to_owned()))
        .metadata("large", Value::Unsigned(1 << 40))
        .metadata("negative", Value::Signed(i64::MIN))
        .metadata("float", Value::Float(0.1))
        .metadata("flag", Value::Bool(false))
        .metadata("texts", Value::TextArray(vec!["", "b"].into()))
        .metadata("floats", Value::FloatArray(vec![1.5, -0.1]))
        .metadata("numbers", Value::UnsignedArray(vec![3, 4]))
        .metadata("signed", Value::SignedArray(vec![-3, 4]))
        .metadata("flags", Value::BoolArray(vec![true, false]))
        .tensor("one", DataType::F32, &[5], &[1; 20])
        .tensor("two", DataType::Q4K, &[256, 2], &[2; 288])
        .tensor("three", DataType::F16, &[2, 3, 4], &[3; 48])
        .finish();
    let file = Gguf::read(&bytes).unwrap();
    both_agree(&file, &mut Cursor::new(&bytes));
    let three = file.tensor("three").unwrap();
    assert_eq!(bytes[three.offset as usize..][..three.size as usize], [3; 48]);
}

#[test]
fn agrees_on_smollm2() {
    let cache = std::env::var_os("NEARSIDE_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/nearside"),
        PathBuf::from,
    );
    let path = cache.join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let Ok(mut handle) = File::open(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    let file = Gguf::read(&FileBytes::new(handle.try_clone().unwrap()).unwrap()).unwrap();
    assert_eq!(file.tensors.len(), 272);
    both_agree(&file, &mut handle);
}
