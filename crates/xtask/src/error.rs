//! What can go wrong in a chore, each with what to do about it.

use std::fmt::Display;
use std::path::PathBuf;

/// Why a chore stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum XtaskError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },

    #[error("cannot start `{command}`: {source}; {remedy}")]
    Start { command: String, remedy: String, source: std::io::Error },

    #[error("`{command}` failed with {status}{detail}")]
    Failed { command: String, status: String, detail: String },

    #[error("{what} is missing and cannot be brought from here; run: {remedy}")]
    Missing { what: String, remedy: String },

    #[error("{place}: {problem}")]
    Invalid { place: String, problem: String },

    #[error("{file}: SHA-256 is {found}, expected {expected}; the file was not kept, run the command again")]
    WrongHash { file: String, found: String, expected: String },

    #[error("stopped: {0}")]
    Stopped(String),
}

pub(crate) type Result<T> = std::result::Result<T, XtaskError>;

/// Adds what was being done, and to which file, to an I/O error.
pub(crate) trait Doing<T> {
    fn doing(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| XtaskError::Io { action, path: path.into(), source })
    }
}

/// An error in a file or a value that a person wrote.
pub(crate) fn invalid(place: impl Display, problem: impl Display) -> XtaskError {
    XtaskError::Invalid { place: format!("{place}"), problem: format!("{problem}") }
}
