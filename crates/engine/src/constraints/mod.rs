//! What an answer must look like: a JSON Schema, a regular expression or a grammar.
//!
//! A [`Constraint`] becomes a [`Matcher`], which follows the answer token by token and says at every place which
//! tokens may come next, as one bit for each token of the vocabulary. The engine asks for these bits while the
//! device computes the logits, and gives them to the choice. Tokens that can only follow are written without asking
//! the model at all.
//!
//! The grammars come from callers, and callers from the network: their size and depth are bounded here, the work on
//! them by llguidance's own limits, and whatever goes wrong is one [`EngineError::Constraint`](crate::EngineError).

mod grammars;
mod limits;
mod matcher;
mod schema;
mod source;
mod thought;
mod vocabulary;

pub(crate) use grammars::Grammars;
pub(crate) use matcher::Matcher;
pub use source::Constraint;
pub use thought::Thought;
