//! Any bytes as a vocabulary, and what follows them as a text to cut into it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside_gguf::Gguf;
use nearside_text::{SpecialTokens, StreamDecoder, Tokenizer};

const TEXT: &str = "The 3 ducks don't  say\tquack…\r\n日本🙂<|im_start|>\u{2581}</s>";

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Gguf::read(&bytes) else { return };
    let Ok(tokenizer) = Tokenizer::from_metadata(&file.metadata) else { return };
    let tail = String::from_utf8_lossy(&bytes[bytes.len() / 2..]);
    for text in [TEXT, tail.as_ref()] {
        for special in [SpecialTokens::default(), SpecialTokens { add: true, parse: true }] {
            let Ok(ids) = tokenizer.encode(text, special) else { continue };
            assert!(ids.iter().all(|id| (*id as usize) < tokenizer.size()));
            let mut decoder = StreamDecoder::new();
            let mut streamed: String = ids.iter().map(|id| decoder.push(&tokenizer, *id)).collect();
            streamed.push_str(&decoder.finish(&tokenizer));
            assert!(streamed.ends_with(&tokenizer.decode(&ids)));
        }
    }
});
