//! A model small enough to be written here, whose answers are known: it continues the alphabet.

use nearside_gguf::{DataType, Texts, Value, Writer};

const WIDTH: usize = 128;
const KEY_WIDTH: usize = 64;
const END: &str = "<|end|>";
const MARKS: [&str; 2] = ["<think>", "</think>"];

/// A file with one layer that adds nothing, so that the next token depends on the last one alone:
/// `a` to `y` are followed by the next letter, `!` ends the text, and all else is followed by `a`.
pub(crate) fn alphabet() -> Vec<u8> {
    file(None)
}

/// One that thinks where its template or a question mark has it think: the letters up to `h`.
pub(crate) fn thinker(template: &str) -> Vec<u8> {
    file(Some(template))
}

fn file(template: Option<&str>) -> Vec<u8> {
    let mut tokens = vec![END.to_owned()];
    tokens.extend(('!'..='~').map(String::from));
    // A space and a line feed, as byte-level vocabularies spell them.
    tokens.extend(["Ġ".to_owned(), "Ċ".to_owned()]);
    let thinks = template.is_some();
    tokens.extend(MARKS.iter().filter(|_| thinks).map(|mark| (*mark).to_owned()));
    let position = |text: &str| tokens.iter().position(|token| token == text).unwrap();
    let follower = |token: &str| match token.as_bytes() {
        b"?" if thinks => position(MARKS[0]),
        b"h" if thinks => position(MARKS[1]),
        [letter @ b'a'..=b'y'] => position(&char::from(letter + 1).to_string()),
        b"!" => position(END),
        _ => position("a"),
    };

    let mut embedding = vec![0.0; tokens.len() * WIDTH];
    let mut output = vec![0.0; tokens.len() * WIDTH];
    for (index, token) in tokens.iter().enumerate() {
        embedding[index * WIDTH + index] = 1.0;
        output[follower(token) * WIDTH + index] = 1.0;
    }
    let mark = |token: &str| token == END || MARKS.contains(&token);
    let kinds = tokens.iter().map(|token| if mark(token) { 3 } else { 1 }).collect();
    let end = position(END) as u64;
    let count = tokens.len() as u64;

    let size = |key: &str, value: usize| (format!("llama.{key}"), Value::Unsigned(value as u64));
    let sizes = [
        size("context_length", 1 << 17),
        size("embedding_length", WIDTH),
        size("block_count", 1),
        size("feed_forward_length", WIDTH),
        size("attention.head_count", 2),
        size("attention.head_count_kv", 1),
        size("rope.dimension_count", KEY_WIDTH),
        size("vocab_size", tokens.len()),
    ];
    let mut writer = Writer::new()
        .metadata("general.architecture", Value::Text("llama".to_owned()))
        .metadata("general.name", Value::Text("alphabet".to_owned()))
        .metadata("llama.attention.layer_norm_rms_epsilon", Value::Float(1e-5))
        .metadata("llama.rope.freq_base", Value::Float(10_000.0))
        .metadata("tokenizer.ggml.model", Value::Text("gpt2".to_owned()))
        .metadata("tokenizer.ggml.pre", Value::Text("gpt-2".to_owned()))
        .metadata("tokenizer.ggml.tokens", Value::TextArray(tokens.into()))
        .metadata("tokenizer.ggml.token_type", Value::SignedArray(kinds))
        .metadata("tokenizer.ggml.merges", Value::TextArray(Texts::default()))
        .metadata("tokenizer.ggml.bos_token_id", Value::Unsigned(end))
        .metadata("tokenizer.ggml.eos_token_id", Value::Unsigned(end))
        .metadata("tokenizer.ggml.add_bos_token", Value::Bool(false));
    if let Some(template) = template {
        writer = writer.metadata("tokenizer.chat_template", Value::Text(template.to_owned()));
    }
    for (key, value) in sizes {
        writer = writer.metadata(&key, value);
    }

    let width = WIDTH as u64;
    let keys = KEY_WIDTH as u64;
    let ones = vec![1.0; WIDTH];
    let zeros = vec![0.0; WIDTH * WIDTH];
    let tensor = |writer: Writer, name: &str, dimensions: &[u64], values: &[f32]| {
        let elements: u64 = dimensions.iter().product();
        let bytes: Vec<u8> = values[..elements as usize].iter().flat_map(|value| value.to_le_bytes()).collect();
        writer.tensor(name, DataType::F32, dimensions, &bytes)
    };
    writer = tensor(writer, "token_embd.weight", &[width, count], &embedding);
    writer = tensor(writer, "output.weight", &[width, count], &output);
    writer = tensor(writer, "output_norm.weight", &[width], &ones);
    writer = tensor(writer, "blk.0.attn_norm.weight", &[width], &ones);
    writer = tensor(writer, "blk.0.ffn_norm.weight", &[width], &ones);
    writer = tensor(writer, "blk.0.attn_k.weight", &[width, keys], &zeros);
    writer = tensor(writer, "blk.0.attn_v.weight", &[width, keys], &zeros);
    for name in ["attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        writer = tensor(writer, &format!("blk.0.{name}.weight"), &[width, width], &zeros);
    }
    writer.finish()
}
