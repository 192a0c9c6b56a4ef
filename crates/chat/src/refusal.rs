//! The engine's errors in the one error shape.

use nearside_engine::EngineError;
use nearside_wire::WireError;

/// Whose fault an engine's error is, and which field's.
pub fn refuse(error: EngineError) -> WireError {
    match error {
        EngineError::PromptTooLong { tokens, context } => WireError::ContextExceeded { tokens, context },
        EngineError::Option { option, problem } => WireError::field(option, problem),
        EngineError::EmptyPrompt | EngineError::Text(_) => {
            WireError::field("messages", format!("cannot be laid out for this model: {error}"))
        }
        other => WireError::Internal { problem: other.to_string() },
    }
}
