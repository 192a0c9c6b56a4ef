//! The one error shape, and the errors that take it.

use serde::{Deserialize, Deserializer, Serialize};

use crate::lenient::text_or_number;

/// The body of every answer that is an error, as `OpenAI`'s clients expect it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong. Servers that send a bare string here are understood.
    #[serde(deserialize_with = "detail_or_text")]
    pub error: ErrorDetail,
}

/// What an [`ErrorBody`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// What was wrong, where, and what to do.
    #[serde(default)]
    pub message: String,
    /// The class of error, such as `invalid_request_error`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// A stable word for programs.
    #[serde(default, deserialize_with = "text_or_number")]
    pub code: Option<String>,
    /// The request's field at fault.
    #[serde(default)]
    pub param: Option<String>,
}

fn detail_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorDetail, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        Text(String),
        Detail(ErrorDetail),
    }
    Ok(match Shape::deserialize(deserializer)? {
        Shape::Text(message) => ErrorDetail { message, kind: "error".to_owned(), ..ErrorDetail::default() },
        Shape::Detail(detail) => detail,
    })
}

/// An error that a server of this project answers with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The body is not JSON of the right shape.
    #[error("the request body is not a chat request: {reason}; send a JSON object with a `messages` array")]
    Malformed {
        /// What the parser said, with line and column.
        reason: String,
    },
    /// A field has a value that cannot be served.
    #[error("`{field}` {problem}")]
    InvalidField {
        /// The field's name or path, such as `messages[2].role`.
        field: String,
        /// What is wrong with it and what is allowed.
        problem: String,
    },
    /// The conversation does not fit the model's context.
    #[error(
        "the conversation has {tokens} tokens and the model's context holds {context}; shorten the messages or choose \
         a model with a longer context"
    )]
    ContextExceeded {
        /// Tokens in the conversation.
        tokens: usize,
        /// Tokens the context holds.
        context: usize,
    },
    /// The caller showed no token, or a wrong one.
    #[error("the client token is missing or wrong; send it as `Authorization: Bearer TOKEN`")]
    Unauthorized,
    /// A page of this origin may not use this server.
    #[error("pages of origin {origin} may not use this server; add the origin to ALLOWED_ORIGINS if they should")]
    OriginRefused {
        /// The origin the browser named.
        origin: String,
    },
    /// There is nothing at this path.
    #[error("there is nothing at {path}; use {served}")]
    NotFound {
        /// The path asked for.
        path: String,
        /// What there is, with its methods.
        served: &'static str,
    },
    /// The path exists, the method does not.
    #[error("{path} takes {allowed}")]
    MethodRefused {
        /// The path asked for.
        path: String,
        /// The method it takes.
        allowed: &'static str,
    },
    /// The body is longer than the server reads.
    #[error("the request body is longer than {limit} bytes; send fewer or shorter messages")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The spend limit would be passed.
    #[error(
        "this request may cost up to {needed} microdollars and {left} of the limit are left; lower `max_tokens`, \
         shorten the messages, or raise SPEND_LIMIT_MICRODOLLARS"
    )]
    SpendLimit {
        /// The most this request can cost.
        needed: u64,
        /// What the limit still allows.
        left: u64,
    },
    /// Too many requests at once.
    #[error("the server is busy with {active} requests; try again shortly")]
    Busy {
        /// Requests being served.
        active: usize,
    },
    /// The server is not configured to serve this.
    #[error("the server is not configured: {problem}")]
    Misconfigured {
        /// What is missing and how to set it.
        problem: String,
    },
    /// Something failed inside the server.
    #[error("the server failed: {problem}")]
    Internal {
        /// What failed, without the caller's text.
        problem: String,
    },
    /// The upstream could not be reached, or answered with an error.
    #[error("the far model could not answer: {problem}")]
    Upstream {
        /// What happened and what to do.
        problem: String,
    },
    /// The upstream refused the request for a reason that the caller can act on.
    #[error("the far model refused the request: {problem}")]
    UpstreamRefused {
        /// The status it answered with.
        status: u16,
        /// What it said.
        problem: String,
    },
    /// The upstream took too long to begin or to go on.
    #[error("the far model was silent for {seconds} s; try again, or raise UPSTREAM_TIMEOUT_SECONDS")]
    UpstreamTimeout {
        /// How long was waited.
        seconds: u64,
    },
}

impl WireError {
    /// A field with a value that cannot be served: `problem` completes the sentence that the field's name begins.
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::InvalidField { field: field.into(), problem: problem.into() }
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed { .. } | Self::InvalidField { .. } | Self::ContextExceeded { .. } => 400,
            Self::Unauthorized => 401,
            Self::SpendLimit { .. } => 402,
            Self::OriginRefused { .. } => 403,
            Self::NotFound { .. } => 404,
            Self::MethodRefused { .. } => 405,
            Self::BodyTooLarge { .. } => 413,
            Self::Internal { .. } | Self::Misconfigured { .. } => 500,
            Self::Upstream { .. } => 502,
            Self::Busy { .. } => 503,
            Self::UpstreamTimeout { .. } => 504,
            Self::UpstreamRefused { status, .. } => *status,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Malformed { .. }
            | Self::InvalidField { .. }
            | Self::ContextExceeded { .. }
            | Self::NotFound { .. }
            | Self::MethodRefused { .. }
            | Self::BodyTooLarge { .. } => "invalid_request_error",
            Self::Unauthorized => "authentication_error",
            Self::OriginRefused { .. } => "permission_error",
            Self::SpendLimit { .. } => "insufficient_quota",
            Self::Busy { .. } | Self::Internal { .. } | Self::Misconfigured { .. } => "server_error",
            Self::Upstream { .. } | Self::UpstreamRefused { .. } | Self::UpstreamTimeout { .. } => "upstream_error",
        }
    }

    /// The stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed_request",
            Self::InvalidField { .. } => "invalid_field",
            Self::ContextExceeded { .. } => "context_length_exceeded",
            Self::Unauthorized => "invalid_token",
            Self::OriginRefused { .. } => "origin_refused",
            Self::NotFound { .. } => "not_found",
            Self::MethodRefused { .. } => "method_refused",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::SpendLimit { .. } => "spend_limit",
            Self::Busy { .. } => "busy",
            Self::Misconfigured { .. } => "misconfigured",
            Self::Internal { .. } => "internal",
            Self::Upstream { .. } => "upstream_failed",
            Self::UpstreamRefused { .. } => "upstream_refused",
            Self::UpstreamTimeout { .. } => "upstream_timeout",
        }
    }

    /// The body to answer with.
    pub fn body(&self) -> ErrorBody {
        let param = match self {
            Self::InvalidField { field, .. } => Some(field.clone()),
            Self::ContextExceeded { .. } => Some("messages".to_owned()),
            _ => None,
        };
        ErrorBody {
            error: ErrorDetail {
                message: self.to_string(),
                kind: self.kind().to_owned(),
                code: Some(self.code().to_owned()),
                param,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_with_all_four_fields() {
        let body = serde_json::to_value(WireError::field("n", "must be 1").body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"error": {
                "message": "`n` must be 1", "type": "invalid_request_error", "code": "invalid_field", "param": "n",
            }})
        );
        let body = serde_json::to_value(WireError::Unauthorized.body()).unwrap();
        assert!(body["error"]["param"].is_null());
    }

    #[test]
    fn errors_of_other_servers_are_understood() {
        let numbered: ErrorBody = serde_json::from_str(r#"{"error":{"message":"no","type":"x","code":400}}"#).unwrap();
        assert_eq!(numbered.error.code.as_deref(), Some("400"));
        let bare: ErrorBody = serde_json::from_str(r#"{"error":"model not found"}"#).unwrap();
        assert_eq!(bare.error.message, "model not found");
    }
}
