//! Text that arrives token by token.

use nearside_gguf::{Metadata, Texts, Value};
use nearside_text::{SpecialTokens, StreamDecoder, Tokenizer};

fn metadata(model: &str, tokens: Vec<String>, kinds: Vec<i64>) -> Metadata {
    let mut metadata = Metadata::default();
    let count = tokens.len();
    for (key, value) in [
        ("tokenizer.ggml.model", Value::Text(model.to_owned())),
        ("tokenizer.ggml.pre", Value::Text("gpt-2".to_owned())),
        ("tokenizer.ggml.tokens", Value::TextArray(tokens.into())),
        ("tokenizer.ggml.token_type", Value::SignedArray(kinds)),
        ("tokenizer.ggml.merges", Value::TextArray(Texts::default())),
        ("tokenizer.ggml.scores", Value::FloatArray(vec![0.0; count])),
        ("tokenizer.ggml.bos_token_id", Value::Unsigned(256)),
    ] {
        metadata.insert(key.to_owned(), value);
    }
    metadata
}

/// One token a byte, then one mark.
fn byte_level() -> Tokenizer {
    let alphabet = |byte: u8| match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        0..=0x20 => char::from_u32(0x100 + u32::from(byte)).unwrap(),
        0x7f..=0xa0 => char::from_u32(0x121 + u32::from(byte) - 0x7f).unwrap(),
        0xad => '\u{143}',
    };
    let tokens = (0..=255).map(|byte| alphabet(byte).to_string()).chain(["<|mark|>".to_owned()]).collect();
    Tokenizer::from_metadata(&metadata("gpt2", tokens, [vec![1; 256], vec![3]].concat())).unwrap()
}

/// The same in the other family's spelling.
fn byte_fallback() -> Tokenizer {
    let tokens = (0..=255).map(|byte| format!("<0x{byte:02X}>")).chain(["<s>".to_owned()]).collect();
    Tokenizer::from_metadata(&metadata("llama", tokens, [vec![6; 256], vec![3]].concat())).unwrap()
}

const TEXT: &str = "né 日本🙂\u{301}\0!";

#[test]
fn characters_come_out_whole_and_as_early_as_they_can() {
    for tokenizer in [byte_level(), byte_fallback()] {
        let mut decoder = StreamDecoder::new();
        let mut text = String::new();
        for byte in TEXT.bytes() {
            let piece = decoder.push(&tokenizer, u32::from(byte));
            assert!(!piece.contains(char::REPLACEMENT_CHARACTER));
            text.push_str(&piece);
            assert!(TEXT.starts_with(&text));
        }
        assert_eq!(text, TEXT);
        assert_eq!(decoder.finish(&tokenizer), "");
    }
}

#[test]
fn what_can_never_be_a_character_is_replaced_at_once() {
    let tokenizer = byte_level();
    let mut decoder = StreamDecoder::new();
    let mut push = |byte: u32| decoder.push(&tokenizer, byte);
    assert_eq!(push(0xff), "\u{fffd}");
    assert_eq!(push(0xe6), "");
    assert_eq!(push(u32::from(b'a')), "\u{fffd}a");
    assert_eq!(push(0xf0), "");
    assert_eq!(push(0x9f), "");
    assert_eq!(push(0xf0), "\u{fffd}");
    assert_eq!(push(0x9f), "");
    assert_eq!(decoder.finish(&tokenizer), "\u{fffd}");
    assert_eq!(decoder.finish(&tokenizer), "");
}

#[test]
fn marks_and_strangers_have_no_text() {
    for tokenizer in [byte_level(), byte_fallback()] {
        assert_eq!(tokenizer.decode(&[256, 104, 257, 105, u32::MAX]), "hi");
    }
}

#[test]
fn marks_are_shown_where_the_caller_wants_them() {
    for (tokenizer, mark) in [(byte_level(), "<|mark|>"), (byte_fallback(), "<s>")] {
        let mut decoder = StreamDecoder::showing(&tokenizer, &["<unknown>", mark]);
        assert_eq!(decoder.push(&tokenizer, 256), mark);
        assert_eq!(decoder.push(&tokenizer, 104), "h");
    }
}

#[test]
fn every_text_survives_the_round_trip() {
    let texts = ["", " ", "  a", "a  ", "\n\n", "\t x\r\n", TEXT, "<|mark|>", "▁", "\u{feff}a", "a\u{200d}b"];
    let tokenizer = byte_level();
    for text in texts {
        let ids = tokenizer.encode(text, SpecialTokens::default()).unwrap();
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

#[test]
fn marks_in_a_text_are_marks_only_when_asked() {
    let tokenizer = byte_level();
    let encode = |parse| tokenizer.encode("a<|mark|>", SpecialTokens { add: false, parse }).unwrap();
    assert_eq!(encode(true), [97, 256]);
    assert_eq!(encode(false).len(), 9);
    assert!(!encode(false).contains(&256));
    let begun = tokenizer.encode("a", SpecialTokens { add: true, parse: false }).unwrap();
    assert_eq!(begun, [97], "this family begins only when the file says so");
    let begun = byte_fallback().encode("a", SpecialTokens { add: true, parse: false }).unwrap();
    assert_eq!(begun[0], 256);
}
