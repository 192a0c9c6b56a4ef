//! The router's types as the npm package spells them.

use nearside_route::{Budget, Consent, Kind, Mode, Policy, Redactions, Redactor, Situation};
use nearside_wire::ChatRequest;
use serde::Deserialize;

/// What the package's policy and its knowledge of the far side look like.
#[derive(Debug, Deserialize)]
pub(crate) struct Route {
    policy: PagePolicy,
    situation: PageSituation,
}

#[derive(Debug, Deserialize)]
struct PagePolicy {
    mode: Mode,
    threshold: Option<f64>,
    redact: bool,
    #[serde(default)]
    budget: Budget,
}

#[derive(Debug, Deserialize)]
struct PageSituation {
    consent: Consent,
    far_ready: bool,
    spent_microdollars: u64,
    crossings: u32,
}

impl Route {
    /// The same in the router's own terms.
    pub(crate) fn split(self) -> (Policy, Situation) {
        let policy = Policy {
            mode: self.policy.mode,
            threshold: self.policy.threshold,
            budget: self.policy.budget,
            redact: kinds(self.policy.redact),
            // An answer that has begun near ends near: the package has no way yet to show a change of speaker.
            hand_over: false,
        };
        let PageSituation { consent, far_ready, spent_microdollars, crossings } = self.situation;
        let situation =
            Situation { consent, far_ready, spent_microdollars, crossings, near_ready: true, cost_microdollars: 0 };
        (policy, situation)
    }
}

fn kinds(redact: bool) -> Vec<Kind> {
    if redact { Kind::ALL.to_vec() } else { Vec::new() }
}

/// Replaces what must not leave, in every message of a request.
pub(crate) fn cover(request: &mut ChatRequest, redact: bool) -> Redactions {
    let mut redactor = Redactor::new(&kinds(redact));
    for message in &mut request.messages {
        message.map_text(|text| redactor.redact(text));
    }
    redactor.into_redactions()
}
