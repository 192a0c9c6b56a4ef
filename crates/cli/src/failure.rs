//! What can end a command, in one sentence, and the exit code that says so.

use std::path::PathBuf;

use nearside_engine::EngineError;
use nearside_engine::backend::BackendError;
use nearside_gguf::GgufError;
use nearside_text::TextError;
use nearside_wire::{ErrorBody, ErrorDetail};

/// Something went wrong.
pub(crate) const EXIT_FAILURE: u8 = 1;
/// The command line made no sense.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Ctrl-C, as shells count it: 128 and the signal's number.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A file could not be opened or used.
    #[error("cannot use `{}`: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file is not the model file it should be.
    #[error("cannot read `{}` as a GGUF file: {reason}", path.display())]
    Gguf {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: GgufError,
    },
    /// A model file that cannot be loaded.
    #[error("cannot load `{}`: {reason}", path.display())]
    Load {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: EngineError,
    },
    /// A tokenizer that cannot be built.
    #[error("cannot build the tokenizer of `{}`: {reason}", path.display())]
    Tokenizer {
        /// Which file's.
        path: PathBuf,
        /// Why not.
        reason: TextError,
    },
    /// Generation failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A backend could not be had.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The operating system refused something.
    #[error("{what} failed: {reason}")]
    System {
        /// What was tried.
        what: String,
        /// The system's words.
        reason: String,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
    /// The user wanted it to end.
    #[error("interrupted")]
    Interrupted,
    /// The same, after the report that says so was written.
    #[error("interrupted")]
    InterruptedAfterReport,
    /// Whoever read the output stopped reading, which is theirs to decide.
    #[error("standard output was closed")]
    OutputClosed,
}

impl Failure {
    /// What the process says to its parent.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::Interrupted | Self::InterruptedAfterReport => EXIT_INTERRUPTED,
            Self::OutputClosed => 0,
            _ => EXIT_FAILURE,
        }
    }

    /// A stable word for programs.
    fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "file_unusable",
            Self::Gguf { .. } => "invalid_gguf",
            Self::Load { .. } => "load_failed",
            Self::Tokenizer { .. } => "invalid_tokenizer",
            Self::Engine(_) => "generation_failed",
            Self::Backend(_) => "backend_unavailable",
            Self::System { .. } => "system_error",
            Self::Usage(_) => "usage",
            Self::Interrupted | Self::InterruptedAfterReport => "interrupted",
            Self::OutputClosed => "output_closed",
        }
    }

    /// The same in the one error shape.
    pub(crate) fn body(&self) -> ErrorBody {
        let kind = match self {
            Self::Usage(_) | Self::File { .. } => "invalid_request_error",
            _ => "nearside_error",
        };
        ErrorBody {
            error: ErrorDetail {
                message: self.to_string(),
                kind: kind.to_owned(),
                code: Some(self.code().to_owned()),
                param: None,
            },
        }
    }
}
