//! What goes wrong, and the JavaScript errors that it becomes.

use nearside_engine::EngineError;
use nearside_engine::backend::BackendError;
use nearside_gguf::GgufError;
use nearside_wire::WireError;
use nearside_wire::sse::SseError;
use wasm_bindgen::JsValue;

use crate::javascript::describe;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Request(#[from] WireError),
    #[error("the far side's answer cannot be read: {0}")]
    Stream(#[from] SseError),
    #[error("the far side reports an error: {message}")]
    Far { message: String },
    #[error("the far side's answer broke off before its end; ask again")]
    CutOff,
    #[error("no side may answer this: {reasons}")]
    Blocked { reasons: String },
    #[error("the request was aborted")]
    Aborted,
    #[error("`{what}` cannot be used: {problem}")]
    Argument { what: &'static str, problem: String },
    #[error("the callback failed: {problem}")]
    Callback { problem: String },
    /// What the worker's own code threw; it goes through as it is.
    #[error("{}", describe(thrown))]
    Thrown { thrown: JsValue },
    #[error("the engine failed: {problem}; load the model again")]
    Internal { problem: String },
}

impl WebError {
    /// Whether the device has no room.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Engine(EngineError::Backend(BackendError::OutOfMemory { .. })))
    }

    /// The name that programs switch on; the npm package lists them.
    fn code(&self) -> &'static str {
        match self {
            Self::Engine(error) => engine_code(error),
            Self::Backend(error) => backend_code(error),
            Self::Gguf(_) => "model_invalid",
            Self::Request(_) | Self::Argument { .. } | Self::Blocked { .. } => "invalid_request",
            Self::Stream(_) | Self::Far { .. } | Self::CutOff => "far_unavailable",
            Self::Aborted => "aborted",
            Self::Callback { .. } | Self::Thrown { .. } | Self::Internal { .. } => "engine_failed",
        }
    }
}

fn engine_code(error: &EngineError) -> &'static str {
    match error {
        EngineError::Backend(error) => backend_code(error),
        EngineError::PromptTooLong { .. } => "context_full",
        EngineError::Constraint { .. }
        | EngineError::EmptyPrompt
        | EngineError::TokenOutOfRange { .. }
        | EngineError::Option { .. } => "invalid_request",
        EngineError::ForeignSession | EngineError::Interrupted => "engine_failed",
        _ => "model_invalid",
    }
}

fn backend_code(error: &BackendError) -> &'static str {
    match error {
        BackendError::NoAdapter { .. } => "webgpu_unavailable",
        BackendError::OutOfMemory { .. } => "out_of_memory",
        BackendError::DeviceLost { .. } => "device_lost",
        BackendError::Cancelled => "aborted",
        BackendError::InvalidStep { .. } => "engine_failed",
        BackendError::Graph(_)
        | BackendError::Source(_)
        | BackendError::Tensor { .. }
        | BackendError::Unsupported { .. } => "model_invalid",
    }
}

impl From<WebError> for JsValue {
    fn from(error: WebError) -> Self {
        if let WebError::Thrown { thrown } = error {
            return thrown;
        }
        let thrown = js_sys::Error::new(&error.to_string());
        // Setting a property on a fresh error object cannot fail; if it did, the message would still be there.
        let _ = js_sys::Reflect::set(&thrown, &"code".into(), &error.code().into());
        thrown.into()
    }
}
