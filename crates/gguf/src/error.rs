//! What can be wrong with a file.

use crate::SourceError;

/// Why a file is not a usable GGUF file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GgufError {
    /// The bytes could not be read, or end too early.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Why a metadata key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The key is not there.
    #[error("the file has no metadata key `{key}`; it is not a model this engine can run")]
    Missing {
        /// Which key.
        key: String,
    },
    /// The value is of another type.
    #[error("metadata key `{key}` holds {found}, expected {expected}")]
    WrongType {
        /// Which key.
        key: String,
        /// What there is.
        found: &'static str,
        /// What there should be.
        expected: &'static str,
    },
}
