//! Model files that are sound as files and contradict themselves as models.

mod report;

use nearside_engine::architectures;
use nearside_gguf::{DataType, Gguf, Value, Writer};
use report::{Random, Report, seed};

const WIDTH: u64 = 32;
const INNER: u64 = 64;
const TOKENS: u64 = 16;

/// A tensor to write: its name and its dimensions, the fastest first.
type Tensor = (String, Vec<u64>);

fn keys() -> Vec<(&'static str, Value)> {
    vec![
        ("general.architecture", Value::Text("llama".to_owned())),
        ("llama.block_count", Value::Unsigned(2)),
        ("llama.context_length", Value::Unsigned(64)),
        ("llama.embedding_length", Value::Unsigned(WIDTH)),
        ("llama.feed_forward_length", Value::Unsigned(INNER)),
        ("llama.attention.head_count", Value::Unsigned(4)),
        ("llama.attention.head_count_kv", Value::Unsigned(2)),
        ("llama.attention.layer_norm_rms_epsilon", Value::Float(1e-5)),
        ("llama.rope.freq_base", Value::Float(10_000.0)),
        ("llama.rope.dimension_count", Value::Unsigned(8)),
    ]
}

fn tensors() -> Vec<Tensor> {
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![WIDTH, TOKENS]),
        ("output_norm.weight".to_owned(), vec![WIDTH]),
        ("output.weight".to_owned(), vec![WIDTH, TOKENS]),
    ];
    for layer in 0..2 {
        for (name, dimensions) in [
            ("attn_norm", vec![WIDTH]),
            ("attn_q", vec![WIDTH, WIDTH]),
            ("attn_k", vec![WIDTH, WIDTH / 2]),
            ("attn_v", vec![WIDTH, WIDTH / 2]),
            ("attn_output", vec![WIDTH, WIDTH]),
            ("ffn_norm", vec![WIDTH]),
            ("ffn_gate", vec![WIDTH, INNER]),
            ("ffn_up", vec![WIDTH, INNER]),
            ("ffn_down", vec![INNER, WIDTH]),
        ] {
            tensors.push((format!("blk.{layer}.{name}.weight"), dimensions));
        }
    }
    tensors
}

fn file(keys: &[(&'static str, Value)], tensors: &[Tensor]) -> Vec<u8> {
    let writer = keys.iter().fold(Writer::new(), |writer, (key, value)| writer.metadata(key, value.clone()));
    let write = |writer: Writer, (name, dimensions): &Tensor| {
        let elements: u64 = dimensions.iter().product();
        writer.tensor(name, DataType::F32, dimensions, &vec![0; elements as usize * 4])
    };
    tensors.iter().fold(writer, write).finish()
}

fn build(bytes: &[u8]) -> Result<(), String> {
    let gguf = Gguf::read(&bytes).map_err(|error| error.to_string())?;
    architectures::build(&gguf, &bytes, 64).map(drop).map_err(|error| error.to_string())
}

fn with_key(key: &'static str, value: Option<Value>) -> Vec<u8> {
    let mut keys = keys();
    keys.retain(|(name, _)| *name != key);
    keys.extend(value.map(|value| (key, value)));
    file(&keys, &tensors())
}

#[test]
fn metadata_that_cannot_be_is_an_error() {
    build(&file(&keys(), &tensors())).unwrap();
    // The architecture's name of a mebibyte is held by the file's table as well.
    let mut report = Report::new("models' metadata").holding(2 << 20);
    let mut refuses = |name: &str, key: &'static str, value: Option<Value>| {
        let bytes = with_key(key, value);
        let expected = key.strip_prefix("llama.").unwrap_or(key);
        report.refuses(&format!("{key}: {name}"), expected, bytes.len(), || build(&bytes));
    };
    for key in
        ["llama.block_count", "llama.embedding_length", "llama.feed_forward_length", "llama.attention.head_count"]
    {
        refuses("missing", key, None);
        refuses("zero", key, Some(Value::Unsigned(0)));
    }
    for (key, _) in keys().iter().skip(1) {
        refuses("a text", key, Some(Value::Text("2".to_owned())));
        refuses("a list of texts", key, Some(Value::TextArray(vec!["2"].into())));
    }
    for key in [
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.head_count_kv",
        "llama.rope.dimension_count",
    ] {
        refuses("negative", key, Some(Value::Signed(-1)));
        for number in [u64::MAX, 1 << 63, (1 << 32) + 2] {
            refuses(&number.to_string(), key, Some(Value::Unsigned(number)));
        }
    }
    refuses("not a divisor", "llama.attention.head_count_kv", Some(Value::Unsigned(3)));
    refuses("a number", "general.architecture", Some(Value::Unsigned(1)));
    for number in [f64::NAN, f64::INFINITY, -1.0] {
        refuses(&number.to_string(), "llama.attention.layer_norm_rms_epsilon", Some(Value::Float(number)));
        refuses(&number.to_string(), "llama.rope.freq_base", Some(Value::Float(number)));
    }
    let long = with_key("general.architecture", Some(Value::Text("x".repeat(1 << 20))));
    report.refuses("unknown architecture", "this engine runs", long.len(), || build(&long));
    report.finish();
}

#[test]
fn tensors_that_contradict_the_metadata_are_errors() {
    let mut report = Report::new("models' tensors");
    for (place, (name, dimensions)) in tensors().iter().enumerate() {
        let mut refuses = |what: &str, change: &dyn Fn(&mut Vec<Tensor>)| {
            let mut tensors = tensors();
            change(&mut tensors);
            let bytes = file(&keys(), &tensors);
            // The embeddings say how many tokens there are, so it may be another tensor that does not fit.
            let expected = if name == "token_embd.weight" { "weight" } else { name };
            report.refuses(&format!("{name} {what}"), expected, bytes.len(), || build(&bytes));
        };
        // Without an output of its own a model uses its embeddings.
        if name != "output.weight" {
            refuses("missing", &|tensors| drop(tensors.remove(place)));
        }
        refuses("too wide", &|tensors| tensors[place].1[0] *= 2);
        refuses("too narrow", &|tensors| tensors[place].1[0] /= 2);
        refuses("with another axis", &|tensors| tensors[place].1.push(2));
        if dimensions.len() == 2 && name != "token_embd.weight" {
            refuses("too high", &|tensors| tensors[place].1[1] += 1);
        }
    }
    let mut keys = keys();
    keys[1].1 = Value::Unsigned(1024);
    let bytes = file(&keys, &tensors());
    report.refuses("layers that are not there", "blk.2.", bytes.len(), || build(&bytes));
    report.finish();
}

#[test]
fn flipped_bytes_never_panic() {
    let whole = file(&keys(), &tensors());
    seed("gguf", usize::MAX - 1, &whole);
    // The header alone is damaged: what follows is all zero.
    let header = Gguf::read(&whole).unwrap().tensors.iter().map(|tensor| tensor.offset).min().unwrap() as usize;
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut report = Report::new("model flips");
    for case in 0..3000 {
        let mut bytes = random.damaged(&whole[..header]);
        bytes.extend_from_slice(&whole[header..]);
        report.run(&format!("flip {case}"), bytes.len(), || build(&bytes));
    }
    report.finish();
}
