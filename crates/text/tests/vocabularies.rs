//! llama.cpp's own tokenizer vectors: vocabulary-only files, each with texts (`.inp`) and their ids (`.out`).
//! They are not part of this project; `cargo xtask test` brings them into `vocabularies/` of the cache folder.

mod support;

use nearside_text::{SpecialTokens, Tokenizer};

const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

fn equals_the_vectors(name: &str) {
    let path = support::cache().join("vocabularies").join(format!("ggml-vocab-{name}.gguf"));
    let Some(header) = support::header(&path) else { return };
    let tokenizer = Tokenizer::from_metadata(&header.metadata).unwrap();
    let beside = |extension| std::fs::read_to_string(path.with_extension(extension)).unwrap();
    let (texts, expected) = (beside("gguf.inp"), beside("gguf.out"));
    let texts: Vec<_> = texts.split_terminator(SEPARATOR).collect();
    assert_eq!(texts.len(), expected.lines().count());
    for (text, expected) in texts.into_iter().zip(expected.lines()) {
        let expected: Vec<u32> = expected.split_whitespace().map(|id| id.parse().unwrap()).collect();
        let ids = tokenizer.encode(text, SpecialTokens::default()).unwrap();
        assert_eq!(ids, expected, "{text:?}");
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

macro_rules! vocabularies {
    ($($test:ident $name:literal;)*) => {
        $(#[test]
        fn $test() {
            equals_the_vectors($name);
        })*
    };
}

vocabularies! {
    command_r "command-r";
    gpt_2 "gpt-2";
    llama_bpe "llama-bpe";
    llama_spm "llama-spm";
    mpt "mpt";
    phi_3 "phi-3";
    qwen2 "qwen2";
    qwen35 "qwen35";
    refact "refact";
    starcoder "starcoder";
    falcon "falcon";
    deepseek_coder "deepseek-coder";
    deepseek_llm "deepseek-llm";
    gemma_4 "gemma-4";
}
