//! What can be wrong with a vocabulary, a text or a template.

use nearside_gguf::MetadataError;

/// Why a file's text side cannot be used, or a text cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A metadata key is missing or of another type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The vocabulary is of a family this crate does not know.
    #[error(
        "`tokenizer.ggml.model` is `{model}`, which is not supported; use a model whose tokenizer is `gpt2` (byte-level BPE), `gemma4` (BPE) or `llama` (SentencePiece)"
    )]
    Model {
        /// What the file says.
        model: String,
    },
    /// The way of splitting text before merging is not known.
    #[error(
        "`tokenizer.ggml.pre` is `{pre}`, which is not supported; guessing would give wrong tokens, so use another model or a newer program (known: {known})"
    )]
    Splitter {
        /// What the file says.
        pre: String,
        /// What this crate knows.
        known: String,
    },
    /// A list does not fit the vocabulary.
    #[error(
        "`{key}` has {found} entries, `tokenizer.ggml.tokens` has {tokens}; the file is damaged: download it again"
    )]
    Length {
        /// Which list.
        key: &'static str,
        /// How many entries it has.
        found: usize,
        /// How many tokens there are.
        tokens: usize,
    },
    /// There are no tokens, or more than ids, or more merges than ranks.
    #[error(
        "`{key}` has {found} entries taking {bytes} bytes, expected 1 to {limit} in less than 4 GiB; the file is damaged: download it again"
    )]
    Size {
        /// Which list.
        key: &'static str,
        /// How many entries there are.
        found: usize,
        /// What their texts take.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A token's type number means nothing.
    #[error(
        "`tokenizer.ggml.token_type` entry {id} is {found}, expected 1 to 6; the file is damaged: download it again"
    )]
    TokenType {
        /// Which token.
        id: usize,
        /// What the file says.
        found: i64,
    },
    /// A score is not a number.
    #[error("`tokenizer.ggml.scores` entry {id} is not a number; the file is damaged: download it again")]
    Score {
        /// Which token.
        id: usize,
    },
    /// A merge is not two texts with a space between.
    #[error(
        "`tokenizer.ggml.merges` entry {index} is {merge:?}, expected two texts with a space between; the file is damaged: download it again"
    )]
    Merge {
        /// Which entry.
        index: usize,
        /// What it holds.
        merge: String,
    },
    /// A merge names a text that is not a token.
    #[error(
        "`tokenizer.ggml.merges` entry {index} needs {piece:?}, which is not in `tokenizer.ggml.tokens`; the file is damaged: download it again"
    )]
    MergeOutOfVocabulary {
        /// Which entry.
        index: usize,
        /// What is missing.
        piece: String,
    },
    /// A special token's id is not a token.
    #[error("`{key}` is {id}, but the vocabulary has {tokens} tokens; the file is damaged: download it again")]
    SpecialOutOfRange {
        /// Which key.
        key: String,
        /// What it says.
        id: u64,
        /// How many tokens there are.
        tokens: usize,
    },
    /// A text is too long to encode at once.
    #[error("the text has {bytes} bytes, at most {limit} can be encoded at once; shorten it")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// A template is too long to be one.
    #[error(
        "`tokenizer.chat_template` has {bytes} bytes, at most {limit} are accepted; get the file from its publisher"
    )]
    TemplateLength {
        /// Its length.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// A template is not valid.
    #[error("`tokenizer.chat_template` cannot be read: {reason}; use a model with another template")]
    TemplateSyntax {
        /// What the template engine says.
        reason: String,
    },
    /// A template refused the messages.
    #[error("the model's chat template refuses these messages: {reason}")]
    Refused {
        /// The template's own words.
        reason: String,
    },
    /// A template failed, or did more than a template needs to.
    #[error("the model's chat template failed: {reason}")]
    Template {
        /// What the template engine says.
        reason: String,
    },
}
