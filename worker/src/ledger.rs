//! The one place that counts what is spent.
//!
//! There is one ledger per UTC day. A request first reserves the most it can cost, which is refused if it would pass
//! the limit, and settles afterwards for what it did cost. A Durable Object handles its events one by one and the count
//! changes in one step, so any number of requests at once cannot pass the limit. A reservation that is never settled,
//! because the Worker was killed, stays counted: the ledger errs on the side of the account's owner.

use std::sync::{Mutex, PoisonError};

use nearside_wire::WireError;
use serde::{Deserialize, Serialize};
use worker::{Date, Method, RequestInit, Stub, wasm_bindgen::JsValue};
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::failed;

const BINDING: &str = "LEDGER";
const COMMITTED: &str = "committed";
const DAY_MILLISECONDS: u64 = 24 * 60 * 60 * 1000;

#[derive(Serialize, Deserialize)]
enum Entry {
    Reserve { amount: u64, limit: u64 },
    Settle { reserved: u64, cost: u64 },
}

#[derive(Serialize, Deserialize)]
struct Answer {
    granted: bool,
    committed: u64,
}

/// Counts a day's spending in millionths of a dollar.
#[durable_object]
pub struct SpendLedger {
    state: State,
    committed: Mutex<Option<u64>>,
}

impl DurableObject for SpendLedger {
    fn new(state: State, _env: Env) -> Self {
        Self { state, committed: Mutex::new(None) }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let entry: Entry = request.json().await?;
        let stored = if self.known().is_none() { self.state.storage().get(COMMITTED).await?.unwrap_or(0) } else { 0 };
        let answer = self.enter(&entry, stored);
        if answer.granted {
            self.state.storage().put(COMMITTED, answer.committed).await?;
        }
        Response::from_json(&answer)
    }
}

impl SpendLedger {
    fn known(&self) -> Option<u64> {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the count in one step, with nothing awaited between the check and the change.
    fn enter(&self, entry: &Entry, stored: u64) -> Answer {
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = committed.unwrap_or(stored);
        let after = match entry {
            Entry::Reserve { amount, limit } => before.checked_add(*amount).filter(|after| after <= limit),
            Entry::Settle { reserved, cost } => Some(before.saturating_sub(*reserved).saturating_add(*cost)),
        };
        let count = after.unwrap_or(before);
        *committed = Some(count);
        Answer { granted: after.is_some(), committed: count }
    }
}

/// What a request holds of the day's limit.
pub(crate) struct Reservation {
    ledger: Stub,
    pub(crate) amount: u64,
}

impl Reservation {
    /// Reserves, or says how much is left.
    pub(crate) async fn make(env: &Env, amount: u64, limit: u64) -> Result<Self, WireError> {
        let day = Date::now().as_millis() / DAY_MILLISECONDS;
        let namespace = env.durable_object(BINDING).map_err(|_| WireError::Misconfigured {
            problem: format!("the Durable Object {BINDING} is not bound; see wrangler.toml"),
        })?;
        let ledger = namespace.get_by_name(&format!("day-{day}")).map_err(failed)?;
        let answer = send(&ledger, &Entry::Reserve { amount, limit }).await.map_err(failed)?;
        if answer.granted {
            return Ok(Self { ledger, amount });
        }
        Err(WireError::SpendLimit { needed: amount, left: limit.saturating_sub(answer.committed) })
    }

    /// Replaces what was reserved by what it did cost.
    pub(crate) async fn settle(self, cost: u64) -> worker::Result<()> {
        send(&self.ledger, &Entry::Settle { reserved: self.amount, cost }).await.map(|_| ())
    }
}

async fn send(ledger: &Stub, entry: &Entry) -> worker::Result<Answer> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(JsValue::from_str(&serde_json::to_string(entry)?)));
    // The name is never resolved: the stub leads to the object.
    let request = Request::new_with_init("https://ledger.invalid/", &init)?;
    ledger.fetch_with_request(request).await?.json().await
}
