//! The one request to the upstream.

use std::time::Duration;

use futures_util::{
    FutureExt,
    future::{Either, LocalBoxFuture, select},
};
use nearside_wire::{ChatRequest, ErrorBody, StreamOptions, WireError};
use worker::{
    Delay, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Response,
    wasm_bindgen::{JsCast, JsValue, prelude::Closure},
    web_sys,
};

use crate::{body, failed, settings::Settings};

/// How much of an upstream's error is read.
const ERROR_LIMIT: usize = 64 * 1024;

/// Ends the request to the upstream when the runtime says that the client went away, and when it is dropped.
///
/// Cloudflare's edge says so by the request's signal. A workerd without the edge does not: there a client that went
/// away is noticed when something is written to it, which the relay's heartbeats see to.
pub(crate) struct Lifeline {
    controller: web_sys::AbortController,
    client: web_sys::AbortSignal,
    _listener: Closure<dyn FnMut()>,
}

impl Lifeline {
    pub(crate) fn new(request: &Request) -> Result<Self, WireError> {
        let controller = web_sys::AbortController::new().map_err(|error| failed(worker::Error::from(error)))?;
        let client = request.inner().signal();
        let to_abort = controller.clone();
        let listener = Closure::new(move || to_abort.abort());
        if client.aborted() {
            controller.abort();
        }
        client.set_onabort(Some(listener.as_ref().unchecked_ref()));
        Ok(Self { controller, client, _listener: listener })
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.client.set_onabort(None);
        self.controller.abort();
    }
}

/// Makes the body that goes to the upstream: the caller's, with what only the configuration may say.
pub(crate) fn prepare(mut request: ChatRequest, settings: &Settings) -> Result<ChatRequest, WireError> {
    let limit = settings.completion_limit;
    match request.token_limit() {
        Some(asked) if asked > limit => {
            let field = if request.max_completion_tokens.is_some() { "max_completion_tokens" } else { "max_tokens" };
            return Err(WireError::field(field, format!("is {asked}; this server allows at most {limit}")));
        }
        Some(_) => {}
        None => request.max_tokens = i64::try_from(limit).ok(),
    }
    // The reservation is for one answer.
    if request.answers() > 1 {
        return Err(WireError::field("n", "must be 1 or left out; this server relays one answer at a time"));
    }
    request.model.clone_from(&settings.upstream_model);
    request.nearside = None;
    if request.stream {
        request.stream_options.get_or_insert_with(StreamOptions::default).include_usage = true;
    }
    Ok(request)
}

/// Sends the request and waits for the head of the answer.
pub(crate) fn send(
    request: &ChatRequest,
    settings: &Settings,
    lifeline: &Lifeline,
) -> Result<LocalBoxFuture<'static, Result<Response, WireError>>, WireError> {
    let headers = Headers::new();
    headers.set("content-type", "application/json").map_err(failed)?;
    if let Some(key) = &settings.upstream_key {
        headers.set("authorization", &format!("Bearer {key}")).map_err(failed)?;
    }
    let text = serde_json::to_string(request).map_err(failed)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        // A redirect could carry the key to another server.
        .with_redirect(RequestRedirect::Manual)
        .with_body(Some(JsValue::from_str(&text)));
    let url = format!("{}/chat/completions", settings.upstream_url);
    let fetch = Fetch::Request(Request::new_with_init(&url, &init).map_err(failed)?);
    let signal = worker::AbortSignal::from(lifeline.controller.signal());
    let seconds = settings.upstream_timeout_seconds;
    let stream = request.stream;
    Ok(async move {
        let sent = Box::pin(fetch.send_with_signal(&signal));
        let response = within(seconds, sent).await?.map_err(|error| WireError::Upstream {
            problem: format!(
                "no connection to the upstream ({error}); check that it runs and that UPSTREAM_URL is its address"
            ),
        })?;
        if !(200..300).contains(&response.status_code()) {
            return Err(refusal(response).await);
        }
        let kind = response.headers().get("content-type").map_err(failed)?.unwrap_or_default();
        if stream && !kind.to_ascii_lowercase().starts_with("text/event-stream") {
            let problem = "the upstream was asked for a stream and sent something else; check that UPSTREAM_URL is \
                           the address of an OpenAI-compatible server";
            return Err(WireError::Upstream { problem: problem.to_owned() });
        }
        Ok(response)
    }
    .boxed_local())
}

/// Waits no longer than the upstream may be silent.
pub(crate) async fn within<F: Future + Unpin>(seconds: u64, future: F) -> Result<F::Output, WireError> {
    match select(future, Delay::from(Duration::from_secs(seconds))).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(WireError::UpstreamTimeout { seconds }),
    }
}

/// What an upstream's error means for the caller.
async fn refusal(mut response: Response) -> WireError {
    let status = response.status_code();
    let advice = match status {
        // Such an answer may quote the key, so none of it is passed on.
        401 | 403 => "it does not accept the Worker's key; check UPSTREAM_KEY",
        404 => "it has no such model or path; check UPSTREAM_URL and UPSTREAM_MODEL",
        300..=399 => "it redirects elsewhere; set UPSTREAM_URL to its final address",
        _ => "",
    };
    if !advice.is_empty() {
        return WireError::Upstream { problem: format!("the upstream answered {status}: {advice}") };
    }
    let bytes = match response.stream() {
        Ok(stream) => body::collect(stream, ERROR_LIMIT).await.ok().flatten().unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let said = serde_json::from_slice::<ErrorBody>(&bytes).map(|body| body.error.message).unwrap_or_default();
    let said: String = said.chars().take(500).collect();
    match status {
        400 | 413 | 422 | 429 => {
            let problem = if said.is_empty() { format!("it answered {status} without a reason") } else { said };
            WireError::UpstreamRefused { status, problem }
        }
        _ => {
            let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
            let problem = format!("the upstream answered {status}{said}; try again, or see the upstream's own log");
            WireError::Upstream { problem }
        }
    }
}
