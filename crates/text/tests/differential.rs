//! The `tokenizers` crate as a second opinion on byte-level BPE, over texts nobody would write.

mod support;

use nearside_text::{SpecialTokens, Tokenizer};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{Tokenizer as Reference, tokenizer::SplitDelimiterBehavior};

const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const PIECES: &[&str] = &[
    "the",
    "The",
    " a",
    "ing",
    "'s",
    "'LL",
    "don't",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\u{a0}",
    "\u{2003}",
    "\u{200b}",
    "0",
    "12345",
    "½",
    "٣",
    "é",
    "e\u{301}",
    "日本",
    "語",
    "ß",
    "ſ",
    "ı",
    "🙂",
    "👩\u{200d}👧",
    "\u{fe0f}",
    "—",
    "...",
    "!?",
    "<|x|>",
    "{",
    "}",
    "_",
    "ab_cd",
    "ΑΒγ",
    "נ\u{5b8}",
    "\0",
    "\u{85}",
    "\u{feff}",
    "ﬁ",
    "Ǆ",
    "ʰ",
    "١",
    "_",
    "$",
    "+",
];

fn agrees(file: &str, pre_tokenizer: PreTokenizerWrapper) {
    let Some(header) = support::header(&support::cache().join("models").join(file)) else { return };
    let ours = Tokenizer::from_metadata(&header.metadata).unwrap();
    let texts = |key| header.metadata.texts(key).unwrap();
    let tokens = texts("tokenizer.ggml.tokens").iter().map(str::to_owned).zip(0u32..).collect::<Vocab>();
    let split = |merge: &str| merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())).unwrap();
    let merges = texts("tokenizer.ggml.merges").iter().map(split).collect::<Vec<_>>();
    let model = BPE::builder().vocab_and_merges(tokens, merges).build().unwrap();
    let mut reference = Reference::new(model);
    reference.with_pre_tokenizer(Some(pre_tokenizer));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for _ in 0..3000 {
        let text: String = (0..random(20)).map(|_| PIECES[random(PIECES.len())]).collect();
        let expected = reference.encode_fast(text.as_str(), false).unwrap();
        assert_eq!(ours.encode(&text, SpecialTokens::default()).unwrap(), expected.get_ids(), "{text:?}");
    }
}

#[test]
fn smollm2() {
    let digits = PreTokenizerWrapper::Digits(Digits::new(true));
    let words = PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true));
    agrees("SmolLM2-135M-Instruct.Q4_1.gguf", PreTokenizerWrapper::Sequence(Sequence::new(vec![digits, words])));
}

#[test]
fn qwen_2_5() {
    let split = Split::new(SplitPattern::Regex(QWEN2.to_owned()), SplitDelimiterBehavior::Isolated, false).unwrap();
    let bytes = PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, false));
    let sequence = Sequence::new(vec![PreTokenizerWrapper::Split(split), bytes]);
    agrees("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", PreTokenizerWrapper::Sequence(sequence));
}
