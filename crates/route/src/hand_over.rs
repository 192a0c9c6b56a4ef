//! Handing an answer over midway, when the near model loses the thread.

use serde::{Deserialize, Serialize};

use crate::{Decision, Policy, Profile, Side, Signal, Situation, decide, names, score};

/// When margins count as collapsed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HandOverRule {
    /// Over how many of the last tokens.
    pub window: usize,
    /// Below which mean margin.
    pub floor: f32,
}

impl Default for HandOverRule {
    /// Sixteen tokens that led by less than a third of a logit on average. A judgement, not a measurement.
    fn default() -> Self {
        Self { window: 16, floor: 0.33 }
    }
}

impl HandOverRule {
    /// The signal that the margins collapsed, once a full window of them lies below the floor.
    pub fn collapse(&self, margins: &[f32]) -> Option<Signal> {
        let start = margins.len().checked_sub(self.window.max(1))?;
        let window = &margins[start..];
        let mean = window.iter().map(|margin| margin.max(0.0)).sum::<f32>() / window.len() as f32;
        (mean < self.floor).then(|| {
            let evidence =
                format!("The near model lost its way: its last {} tokens led by only {mean:.2}.", window.len());
            Signal::new(names::COLLAPSED_MARGIN, 1.0, evidence)
        })
    }
}

/// Decides after each token whether the answer goes over to the far side; nothing while near goes on.
///
/// `margins` are those of the tokens written so far and `signals` those that the request was decided on.
pub fn hand_over(
    margins: &[f32],
    signals: &[Signal],
    profile: &Profile,
    policy: &Policy,
    situation: &Situation,
) -> Option<Decision> {
    if !policy.hand_over {
        return None;
    }
    let collapse = profile.hand_over.collapse(margins)?;
    let signals: Vec<Signal> = signals.iter().cloned().chain([collapse]).collect();
    let decision = decide(&score(&signals, profile), policy, situation);
    (decision.side == Side::Far).then_some(decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bearing, Mode};

    #[test]
    fn only_a_whole_window_of_small_margins_hands_over() {
        let profile = Profile::uncalibrated();
        let policy = Policy { mode: Mode::Auto, ..Policy::default() };
        let ask = |margins: &[f32], policy: &Policy| hand_over(margins, &[], &profile, policy, &Situation::default());
        assert!(ask(&[], &policy).is_none());
        assert!(ask(&[0.1; 15], &policy).is_none());
        assert!(ask(&[5.0; 64], &policy).is_none());
        let mut margins = vec![5.0; 64];
        margins.extend([0.1; 16]);
        let decision = ask(&margins, &policy).expect("the margins collapsed");
        assert!(decision.reasons.iter().any(|reason| reason.contains("lost its way")), "{:?}", decision.reasons);

        assert!(ask(&margins, &Policy { mode: Mode::NearOnly, ..policy.clone() }).is_none());
        assert!(ask(&margins, &Policy { hand_over: false, ..policy.clone() }).is_none());
        assert!(ask(&margins, &Policy { mode: Mode::Ask, ..policy }).unwrap().needs_consent);
    }

    #[test]
    fn a_caller_who_wants_near_keeps_near() {
        let forced = Signal::new(names::FORCED, 1.0, "Asked for near.").bearing(Bearing::WantsNear);
        let policy = Policy { mode: Mode::Auto, ..Policy::default() };
        let profile = Profile::uncalibrated();
        assert!(hand_over(&[0.0; 16], &[forced], &profile, &policy, &Situation::default()).is_none());
    }
}
