//! The Cloudflare Worker through which a crossing reaches the far side.
//!
//! It speaks `OpenAI`'s chat interface to the page and to one upstream that only its own configuration names. It
//! checks the caller's origin and token, reads no more than it must, reserves the most a request can cost before
//! anything is sent, and passes the answer on as it arrives. It logs lengths and times, never a word of a conversation.
//!
//! `wrangler.toml` says how it is deployed and `run-local.mjs` runs it on one machine. What a caller sees is one shape:
//!
//! ```
//! use nearside_wire::WireError;
//!
//! let refused = WireError::Unauthorized;
//! assert_eq!(refused.status(), 401);
//! assert_eq!(refused.body().error.code.as_deref(), Some("invalid_token"));
//! ```

mod access;
mod body;
mod chat;
#[expect(missing_docs, reason = "the attribute on the Durable Object writes methods of its own")]
mod ledger;
mod log;
mod origin;
mod price;
mod relay;
mod settings;
mod upstream;

use nearside_wire::{ModelCard, ModelList, WireError};
use worker::{Context, Date, Env, Method, Request, Response, event};

use crate::{log::Entry, origin::Origin, settings::Settings};

pub use ledger::SpendLedger;

/// What a caller who asks for something else is told of.
const SERVED: &str = "POST /v1/chat/completions, GET /v1/models or GET /healthz";

/// Answers one request.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let mut entry = Entry::new(&request, Date::now().as_millis());
    let origin = Origin::of(&request, &env);
    let preflight = request.method() == Method::Options;
    let answer = match origin.check() {
        Ok(()) if preflight => Response::empty().map(|response| response.with_status(204)).map_err(failed),
        Ok(()) => route(request, &env, &context, &mut entry).await,
        Err(refusal) => Err(refusal),
    };
    let response = match answer {
        Ok(response) => response,
        Err(error) => {
            entry.error = Some(error.code());
            Response::from_json(&error.body())?.with_status(error.status())
        }
    };
    entry.write(response.status_code(), Date::now().as_millis());
    origin.allow(response)
}

async fn route(request: Request, env: &Env, context: &Context, entry: &mut Entry) -> Result<Response, WireError> {
    let path = request.path();
    let (allowed, method) = match path.as_str() {
        "/v1/chat/completions" => ("POST", Method::Post),
        "/v1/models" | "/healthz" => ("GET", Method::Get),
        _ => return Err(WireError::NotFound { path, served: SERVED }),
    };
    if request.method() != method {
        return Err(WireError::MethodRefused { path, allowed });
    }
    let settings = Settings::read(env)?;
    if path == "/healthz" {
        return Response::from_json(&serde_json::json!({ "status": "ok" })).map_err(failed);
    }
    access::check(&request, &settings)?;
    if path == "/v1/models" {
        let list = ModelList::new(vec![ModelCard::new(&settings.upstream_model, "far")]);
        return Response::from_json(&list).map_err(failed);
    }
    chat::complete(request, settings, env, context, entry).await
}

/// A failure of the runtime, which the caller cannot mend.
fn failed(error: impl std::fmt::Display) -> WireError {
    WireError::Internal { problem: error.to_string() }
}
