//! One chat request, from its first byte to its settled cost.

use futures_channel::oneshot;
use nearside_wire::{ChatRequest, Usage, WireError};
use worker::{Context, Env, Request, Response, console_error};

use crate::{
    body, failed,
    ledger::Reservation,
    log::Entry,
    price::{Prices, most_input_tokens},
    relay,
    settings::Settings,
    upstream::{self, Lifeline},
};

/// How long an answer that comes in one piece may be.
const ANSWER_LIMIT: usize = 8 << 20;

/// What a request has cost so far. Dropping it settles, whatever ended the request.
pub(crate) struct Meter {
    prices: Prices,
    /// The most the input can have: what is charged for it while the upstream has not said.
    most_input_tokens: u64,
    /// Bytes of answer that came: the most tokens they can be.
    pub(crate) answer_bytes: u64,
    /// Whether the upstream has, or may have, taken the request.
    taken: bool,
    /// What the upstream itself counted.
    pub(crate) usage: Option<Usage>,
    settle: Option<oneshot::Sender<u64>>,
}

impl Meter {
    pub(crate) fn cost(&self) -> u64 {
        match &self.usage {
            Some(usage) => self.prices.of_usage(usage),
            None if self.taken => self.prices.cost(self.most_input_tokens, self.answer_bytes),
            None => 0,
        }
    }

    /// Notes that the upstream did not answer. One that was merely slow may have done the work, and charges for it.
    pub(crate) fn failed(&mut self, error: WireError) -> WireError {
        self.taken = matches!(error, WireError::UpstreamTimeout { .. });
        error
    }

    pub(crate) fn price_of(&self, usage: &Usage) -> u64 {
        self.prices.of_usage(usage)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            // If nobody listens any more, the whole reservation stays counted.
            let _ = settle.send(self.cost());
        }
    }
}

/// Serves `POST /v1/chat/completions`.
pub(crate) async fn complete(
    mut request: Request,
    settings: Settings,
    env: &Env,
    context: &Context,
    entry: &mut Entry,
) -> Result<Response, WireError> {
    let bytes = body::of_request(&mut request, settings.body_limit).await?;
    entry.request_bytes = bytes.len();
    let asked = ChatRequest::from_json(&bytes)?;
    entry.messages = asked.messages.len();
    entry.stream = asked.stream;
    let wants_usage = asked.wants_usage();
    let chat = upstream::prepare(asked, &settings)?;

    let input = most_input_tokens(&chat);
    let most = settings.prices.cost(input, chat.token_limit().unwrap_or(settings.completion_limit) as u64);
    let reservation = Reservation::make(env, most, settings.spend_limit).await?;
    entry.reserved_microdollars = most;
    let mut meter = Meter {
        prices: settings.prices,
        most_input_tokens: input,
        answer_bytes: 0,
        taken: false,
        usage: None,
        settle: Some(settle_later(context, reservation)),
    };

    let lifeline = Lifeline::new(&request)?;
    let sent = upstream::send(&chat, &settings, &lifeline)?;
    meter.taken = true;
    if chat.stream {
        return relay::answer(sent, meter, lifeline, wants_usage, settings.upstream_timeout_seconds).await;
    }
    match sent.await {
        Ok(response) => whole(response, meter, &settings).await,
        Err(error) => Err(meter.failed(error)),
    }
}

/// Keeps the request's context alive until its cost is known and settled.
fn settle_later(context: &Context, reservation: Reservation) -> oneshot::Sender<u64> {
    let (sender, receiver) = oneshot::channel();
    context.wait_until(async move {
        let Ok(cost) = receiver.await else { return };
        if let Err(error) = reservation.settle(cost).await {
            console_error!("a reservation could not be settled and stays counted in full: {error}");
        }
    });
    sender
}

/// Passes on an answer that comes in one piece, with its cost.
async fn whole(mut response: Response, mut meter: Meter, settings: &Settings) -> Result<Response, WireError> {
    let broken = |problem: String| WireError::Upstream {
        problem: format!("{problem}; check that UPSTREAM_URL is the address of an OpenAI-compatible server"),
    };
    let stream = response.stream().map_err(|_| broken("the upstream answered without a body".to_owned()))?;
    let reading = Box::pin(body::collect(stream, ANSWER_LIMIT));
    let bytes = upstream::within(settings.upstream_timeout_seconds, reading)
        .await?
        .map_err(|error| WireError::Upstream { problem: format!("the upstream broke off ({error}); try again") })?
        .ok_or_else(|| broken(format!("the upstream's answer is longer than {ANSWER_LIMIT} bytes")))?;
    meter.answer_bytes = bytes.len() as u64;
    let mut answer: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| broken(format!("the upstream's answer is not JSON ({error})")))?;
    meter.usage = answer.get("usage").and_then(|usage| serde_json::from_value(usage.clone()).ok());
    let cost = meter.cost();
    if meter.usage.is_some() {
        answer["usage"]["cost_microdollars"] = cost.into();
    }
    let response = Response::from_json(&answer).map_err(failed)?;
    response.headers().set("x-nearside-cost-microdollars", &cost.to_string()).map_err(failed)?;
    Ok(response)
}
