//! The paths, and what may be asked of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use nearside_wire::{ChatRequest, EmbeddingRequest, ModelCard, ModelList, WireError};
use serde_json::json;

use super::embeddings::answer_embedding;
use super::queue::{Queue, Served};
use super::reply::{Head, stream, whole};
use crate::backend::BackendReport;

/// What every answer's id begins with.
const ID_START: &str = "chatcmpl-";
/// What a caller who asks for something else is told of.
const SERVED: &str = "POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models or GET /healthz";

/// What the handlers share.
pub(super) struct Server {
    queue: Queue,
    served: Served,
    body_limit: usize,
    answers: AtomicU64,
    created: u64,
}

impl Server {
    /// A server of one model.
    pub(super) fn new(queue: Queue, served: Served, body_limit: usize) -> Self {
        Self { queue, served, body_limit, answers: AtomicU64::new(0), created: now() }
    }

    /// What all parts of the next answer have in common.
    fn head(&self) -> Head {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        Head { id: format!("{ID_START}{:x}_{number}", self.created), created: now(), model: self.served.id.clone() }
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Every path there is.
pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/models", get(models))
        .route("/healthz", get(health))
        .fallback(|uri: Uri| async move { error(&WireError::NotFound { path: uri.path().to_owned(), served: SERVED }) })
        .method_not_allowed_fallback(|uri: Uri| async move {
            let allowed = if matches!(uri.path(), "/v1/chat/completions" | "/v1/embeddings") { "POST" } else { "GET" };
            error(&WireError::MethodRefused { path: uri.path().to_owned(), allowed })
        })
        .layer(DefaultBodyLimit::max(server.body_limit))
        .with_state(server)
}

/// An error as an answer.
pub(super) fn error(error: &WireError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(error.body())).into_response();
    if matches!(error, WireError::Busy { .. }) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

async fn health(State(server): State<Arc<Server>>) -> Response {
    let info = &server.served.info;
    let backend = BackendReport::from(&info.backend);
    Json(json!({ "status": "ok", "model": server.served.id, "backend": backend, "context": info.context }))
        .into_response()
}

async fn models(State(server): State<Arc<Server>>) -> Response {
    let mut card = ModelCard::new(&server.served.id, "nearside");
    card.created = server.created;
    Json(ModelList::new(vec![card])).into_response()
}

async fn chat(State(server): State<Arc<Server>>, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    let head = server.head();
    let submitted = read(&headers, body, server.body_limit).and_then(|request| {
        let (streamed, usage) = (request.stream, request.wants_usage());
        let id = head.id.trim_start_matches(ID_START).to_owned();
        Ok((server.queue.submit(request, id)?, streamed, usage))
    });
    match submitted {
        Ok((replies, true, usage)) => stream(head, replies, usage).await,
        Ok((replies, false, _)) => whole(head, replies).await,
        Err(problem) => error(&problem),
    }
}

async fn embeddings(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let request = json_body(&headers, body, server.body_limit).and_then(|body| EmbeddingRequest::from_json(&body));
    match request {
        Ok(request) => answer_embedding(&server.queue, &server.served.id, request).await,
        Err(problem) => error(&problem),
    }
}

fn read(headers: &HeaderMap, body: Result<Bytes, BytesRejection>, limit: usize) -> Result<ChatRequest, WireError> {
    ChatRequest::from_json(&json_body(headers, body, limit)?)
}

fn json_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>, limit: usize) -> Result<Bytes, WireError> {
    // A page of any site can make a browser post a form or plain text here without asking first, but not JSON.
    let json = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json {
        return Err(WireError::field("Content-Type", "must be application/json"));
    }
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => WireError::BodyTooLarge { limit },
        _ => WireError::Malformed { reason: rejection.body_text() },
    })
}
