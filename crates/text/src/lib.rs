//! Tokenizer, chat template and streaming detokenizer, all built from a GGUF file's metadata.
