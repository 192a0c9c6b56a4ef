//! Any bytes as a model file: an error or a sound table.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside_gguf::Gguf;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Gguf::read(&bytes) else { return };
    for tensor in &file.tensors {
        assert!(tensor.offset + tensor.size <= bytes.len() as u64);
        assert!(tensor.columns() * tensor.rows() > 0);
        assert_eq!(file.tensor(&tensor.name), Some(tensor));
    }
});
