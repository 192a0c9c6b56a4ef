//! What can go wrong above the backends.

use nearside_gguf::{GgufError, MetadataError, SourceError};
use nearside_text::TextError;

use crate::backend::{BackendError, TokenId};

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The file is not a usable GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A metadata key is missing or of the wrong type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The file's bytes could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tokenizer or the chat template refused.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The backend refused.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// No graph builder knows the file's architecture.
    #[error("the model's architecture is `{found}`; this engine runs {supported}: choose a model of one of those")]
    UnknownArchitecture {
        /// What the file says.
        found: String,
        /// What there is, for people.
        supported: String,
    },
    /// A metadata value that no model can have, or that contradicts another.
    #[error("metadata key `{key}`: {problem}; the file is damaged or needs a newer engine")]
    Config {
        /// Which key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor is missing, has another shape than the metadata says, or is one that the graph has no place for.
    #[error("tensor `{name}`: {problem}; the file does not hold the architecture it names")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The tokenizer knows more tokens than the model has embeddings for.
    #[error(
        "the tokenizer has {tokenizer} tokens but the model only {embeddings} embeddings; the file is inconsistent"
    )]
    VocabularyMismatch {
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Rows of the embedding table.
        embeddings: usize,
    },
    /// There is nothing to answer.
    #[error("the prompt has no tokens; give at least one")]
    EmptyPrompt,
    /// The prompt leaves no room for an answer.
    #[error(
        "the prompt has {tokens} tokens and the context holds {context}; shorten it or load the model with a longer context"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions there are.
        context: usize,
    },
    /// A token number that the model does not have.
    #[error("token {token} is outside the model's vocabulary of {vocabulary}")]
    TokenOutOfRange {
        /// The number.
        token: TokenId,
        /// How many there are.
        vocabulary: usize,
    },
    /// A generation option that has no meaning.
    #[error("option `{option}`: {problem}")]
    Option {
        /// Which one.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A constraint that cannot be used, or that became too complex on the way.
    #[error("the {kind} cannot constrain the answer: {problem}")]
    Constraint {
        /// Its form.
        kind: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The session was made by another engine.
    #[error("the session belongs to another engine; create one with this engine")]
    ForeignSession,
    /// An adapter that cannot change this model.
    #[error("the adapter cannot be used: {problem}")]
    Adapter {
        /// Why not.
        problem: String,
    },
    /// A model that cannot draft for this one.
    #[error("the model cannot draft for this one: {problem}; choose a smaller one of the same family")]
    Draft {
        /// Why not.
        problem: String,
    },
    /// A device was lost, and the file to load again from is another model's.
    #[error("this is not the file that the model was loaded from; recover with that one")]
    OtherModel,
    /// A call to `Generation::next` was dropped before it finished, so a token is lost.
    #[error(
        "the generation was interrupted while it waited for a token; start it again, the session keeps what it had"
    )]
    Interrupted,
}

impl EngineError {
    /// Whether the device is gone: [`crate::Engine::recover`] loads the model again.
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Self::Backend(BackendError::DeviceLost { .. }))
    }
}
