//! Near or far, and why.

use serde::{Deserialize, Serialize};

use crate::{Bearing, Mode, Policy, Score, Side};

/// What stands when the decision is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Situation {
    /// What the user said to this crossing.
    pub consent: Consent,
    /// Whether a near model is loaded and running.
    pub near_ready: bool,
    /// Whether a Worker is configured and the device is online.
    pub far_ready: bool,
    /// What earlier crossings cost, in millionths of a dollar.
    pub spent_microdollars: u64,
    /// How many crossings there were.
    pub crossings: u32,
    /// What this crossing may cost at most, in millionths of a dollar.
    pub cost_microdollars: u64,
}

impl Default for Situation {
    /// Both sides are ready, nothing is spent, nobody was asked.
    fn default() -> Self {
        Self {
            consent: Consent::NotAsked,
            near_ready: true,
            far_ready: true,
            spent_microdollars: 0,
            crossings: 0,
            cost_microdollars: 0,
        }
    }
}

/// What the user said to a crossing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consent {
    /// Nobody has asked yet.
    #[default]
    NotAsked,
    /// The user agreed.
    Granted,
    /// The user declined.
    Refused,
}

/// Which side answers, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Which side answers.
    pub side: Side,
    /// Whether the user must agree before anything crosses. Ask, then decide again with the answer.
    pub needs_consent: bool,
    /// Whether neither side may answer: the side that could is not open. The reasons say why.
    pub blocked: bool,
    /// The score.
    pub score: f64,
    /// The threshold it was held against.
    pub threshold: f64,
    /// Why, in sentences, the deciding one first.
    pub reasons: Vec<String>,
}

/// Holds a score against a policy.
///
/// It never gives far in mode `near-only`, never far without consent unless the mode grants it, and never far beyond a
/// budget. A higher threshold never turns near into far.
pub fn decide(score: &Score, policy: &Policy, situation: &Situation) -> Decision {
    let threshold = policy.threshold.unwrap_or(score.threshold);
    let wish = wish(score, policy, situation, threshold);
    let mut reasons = vec![wish.reason];
    let near_can = situation.near_ready && !score.has(Bearing::NearCannot);

    let mut side = Side::Near;
    let mut blocked = !near_can;
    if wish.side == Side::Far {
        match far_closed(policy, situation) {
            None => {
                side = Side::Far;
                blocked = false;
            }
            Some(reason) => {
                reasons.push(reason);
                blocked = blocked || policy.mode == Mode::FarOnly;
            }
        }
    }
    if side == Side::Near && !situation.near_ready {
        reasons.push("No near model is loaded.".to_owned());
    }
    let told = score.contributions.iter().filter(|c| c.bearing != Bearing::Weighed || c.log_odds != 0.0);
    for contribution in told {
        if !reasons.contains(&contribution.evidence) {
            reasons.push(contribution.evidence.clone());
        }
    }
    let needs_consent = side == Side::Far && !policy.mode.grants_consent() && situation.consent != Consent::Granted;
    Decision { side, needs_consent, blocked, score: score.value, threshold, reasons }
}

struct Wish {
    side: Side,
    reason: String,
}

/// The side to take if it is open.
fn wish(score: &Score, policy: &Policy, situation: &Situation, threshold: f64) -> Wish {
    let near = |reason: &str| Wish { side: Side::Near, reason: reason.to_owned() };
    let far = |reason: &str| Wish { side: Side::Far, reason: reason.to_owned() };
    if policy.mode == Mode::NearOnly {
        return near("The policy allows only the near model.");
    }
    // To keep a request on the device is never refused, whatever the mode.
    if score.has(Bearing::WantsNear) {
        return near("The caller asked for the near model.");
    }
    if policy.mode == Mode::FarOnly {
        return far("The policy sends every request to the far model.");
    }
    if score.has(Bearing::WantsFar) {
        return far("The caller asked for the far model.");
    }
    if score.has(Bearing::NearCannot) {
        return far("The near model cannot serve this request.");
    }
    if !situation.near_ready {
        return far("No near model is loaded.");
    }
    let doubt = if score.calibrated { "probability" } else { "uncalibrated score" };
    let text = |relation: &str| {
        format!(
            "The {doubt} that the near answer will not do is {:.2}, {relation} the threshold of {threshold:.2}.",
            score.value
        )
    };
    if score.value >= threshold { far(&text("not below")) } else { near(&text("below")) }
}

/// Why nothing may cross now, if so.
fn far_closed(policy: &Policy, situation: &Situation) -> Option<String> {
    if !situation.far_ready {
        return Some("The far model cannot be reached: no Worker is configured, or the device is offline.".to_owned());
    }
    if !policy.mode.grants_consent() && situation.consent == Consent::Refused {
        return Some("The user declined the crossing.".to_owned());
    }
    if policy.budget.crossings.is_some_and(|limit| situation.crossings >= limit) {
        return Some(format!("The budget of {} crossings is used up.", situation.crossings));
    }
    let cost = situation.spent_microdollars.saturating_add(situation.cost_microdollars);
    match policy.budget.microdollars {
        Some(limit) if cost > limit => Some(format!(
            "The crossing may cost {} microdollars, and {} of the budget of {limit} are left.",
            situation.cost_microdollars,
            limit.saturating_sub(situation.spent_microdollars)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, Contribution};

    const MODES: [Mode; 4] = [Mode::NearOnly, Mode::Ask, Mode::Auto, Mode::FarOnly];
    const BEARINGS: [Bearing; 4] = [Bearing::Weighed, Bearing::NearCannot, Bearing::WantsNear, Bearing::WantsFar];

    fn score_of(value: f64, bearing: Bearing) -> Score {
        let contribution =
            Contribution { name: "x".into(), log_odds: 1.0, evidence: "Something was seen.".into(), bearing };
        Score { value, threshold: 0.5, calibrated: false, contributions: vec![contribution] }
    }

    /// Every combination of what a decision depends on.
    fn every(mut check: impl FnMut(&Score, &Policy, &Situation)) {
        let budgets = [None, Some(0), Some(10)];
        for mode in MODES {
            for bearing in BEARINGS {
                for value in [0.0, 0.3, 0.5, 0.9, 1.0] {
                    for consent in [Consent::NotAsked, Consent::Granted, Consent::Refused] {
                        for budget in budgets {
                            for ready in 0..4 {
                                let policy = Policy {
                                    mode,
                                    budget: Budget { microdollars: budget, crossings: None },
                                    ..Policy::default()
                                };
                                let situation = Situation {
                                    consent,
                                    near_ready: ready & 1 != 0,
                                    far_ready: ready & 2 != 0,
                                    cost_microdollars: 5,
                                    ..Situation::default()
                                };
                                check(&score_of(value, bearing), &policy, &situation);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_higher_threshold_never_makes_more_far() {
        every(|score, policy, situation| {
            let mut was_far = true;
            for step in 0..=20 {
                let policy = Policy { threshold: Some(f64::from(step) / 20.0), ..policy.clone() };
                let is_far = decide(score, &policy, situation).side == Side::Far;
                assert!(was_far || !is_far, "{score:?} {policy:?} {situation:?}");
                was_far = is_far;
            }
        });
    }

    #[test]
    fn near_only_never_crosses() {
        every(|score, policy, situation| {
            if policy.mode == Mode::NearOnly {
                assert_eq!(decide(score, policy, situation).side, Side::Near);
            }
        });
    }

    #[test]
    fn nothing_crosses_without_consent_or_past_the_budget_or_against_the_callers_wish_to_stay() {
        every(|score, policy, situation| {
            let decision = decide(score, policy, situation);
            if decision.side == Side::Far {
                assert!(
                    policy.mode.grants_consent() || situation.consent == Consent::Granted || decision.needs_consent
                );
                assert!(policy.mode.grants_consent() || situation.consent != Consent::Refused);
                assert!(policy.budget.microdollars.is_none_or(|limit| situation.cost_microdollars <= limit));
                assert!(!score.has(Bearing::WantsNear));
                assert!(situation.far_ready);
                assert!(!decision.blocked);
            } else {
                assert!(!decision.needs_consent);
            }
        });
    }

    #[test]
    fn near_answers_only_where_it_can_and_every_decision_has_a_reason() {
        every(|score, policy, situation| {
            let decision = decide(score, policy, situation);
            assert!(!decision.reasons.is_empty());
            if decision.side == Side::Near && !decision.blocked {
                assert!(situation.near_ready && !score.has(Bearing::NearCannot));
            }
        });
    }

    #[test]
    fn a_full_budget_of_crossings_stays_near_and_says_why() {
        let policy =
            Policy { mode: Mode::Auto, budget: Budget { crossings: Some(2), microdollars: None }, ..Policy::default() };
        let score = score_of(0.9, Bearing::Weighed);
        let first = decide(&score, &policy, &Situation { crossings: 1, ..Situation::default() });
        assert_eq!(first.side, Side::Far);
        let third = decide(&score, &policy, &Situation { crossings: 2, ..Situation::default() });
        assert_eq!((third.side, third.blocked), (Side::Near, false));
        assert!(third.reasons.iter().any(|reason| reason.contains("2 crossings")), "{:?}", third.reasons);
    }

    #[test]
    fn asking_then_granting_crosses_and_declining_stays() {
        let policy = Policy::default();
        let score = score_of(0.9, Bearing::Weighed);
        let asked = decide(&score, &policy, &Situation::default());
        assert!(asked.needs_consent);
        let granted = decide(&score, &policy, &Situation { consent: Consent::Granted, ..Situation::default() });
        assert_eq!((granted.side, granted.needs_consent), (Side::Far, false));
        let declined = decide(&score, &policy, &Situation { consent: Consent::Refused, ..Situation::default() });
        assert_eq!(declined.side, Side::Near);
    }
}
