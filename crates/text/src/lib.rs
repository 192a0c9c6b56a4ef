//! Tokenizer, chat template and streaming detokenizer, all built from a GGUF file's metadata.
//!
//! A [`Tokenizer`] turns text into token ids exactly as the model was trained: byte-level BPE (`gpt2`), BPE over
//! characters (`gemma4`) or `SentencePiece` (`llama`). A [`StreamDecoder`] turns ids back into text one at a time and never gives out half
//! a character. A [`ChatTemplate`] lays a conversation out as the text that the model expects, tools and all, and a
//! [`reply::ReplyParser`] takes apart what the model answers. The file may be hostile: every id is checked on loading,
//! and a template runs within bounds.
//!
//! ```
//! use nearside_gguf::{Metadata, Value};
//! use nearside_text::{SpecialTokens, Tokenizer};
//!
//! let texts = |list: &[&str]| Value::TextArray(list.iter().collect());
//! let mut metadata = Metadata::default();
//! metadata.insert("tokenizer.ggml.model".into(), Value::Text("gpt2".into()));
//! metadata.insert("tokenizer.ggml.pre".into(), Value::Text("gpt-2".into()));
//! metadata.insert("tokenizer.ggml.tokens".into(), texts(&["h", "i", "Ġ", "hi", "Ġhi"]));
//! metadata.insert("tokenizer.ggml.merges".into(), texts(&["h i", "Ġ hi"]));
//!
//! let tokenizer = Tokenizer::from_metadata(&metadata)?;
//! let ids = tokenizer.encode("hi hi", SpecialTokens::default())?;
//! assert_eq!(ids, [3, 4]);
//! assert_eq!(tokenizer.decode(&ids), "hi hi");
//! # Ok::<(), nearside_text::TextError>(())
//! ```

mod byte_level;
mod clock;
mod error;
mod guard;
mod limits;
mod marks;
mod merge;
mod merge_table;
mod message;
mod plain_pairs;
mod python;
pub mod reply;
mod sentence_piece;
mod split;
mod stream;
mod template;
mod tokenizer;
mod tools_in_words;
mod vocabulary;

pub use error::TextError;
pub use message::{Conversation, Message, ToolCall};
pub use stream::StreamDecoder;
pub use template::ChatTemplate;
pub use tokenizer::{SpecialTokens, Tokenizer};
