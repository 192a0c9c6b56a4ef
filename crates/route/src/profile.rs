//! The logistic model that makes one score of many signals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Bearing, HandOverRule, Signal, names};

/// The weights for one near model at one quantization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The near model it was made for; empty for any.
    #[serde(default)]
    pub model: String,
    /// The quantization it was made for; empty for any.
    #[serde(default)]
    pub quantization: String,
    /// How it was calibrated; absent where it was not, and its scores are then no probabilities.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// The log odds of a request without any signal.
    pub bias: f64,
    /// What a full signal of each name adds to the log odds.
    pub weights: BTreeMap<String, f64>,
    /// The score from which to go far, where the policy names none.
    pub threshold: f64,
    /// When to hand over midway.
    #[serde(default)]
    pub hand_over: HandOverRule,
}

/// How a profile was calibrated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What it was calibrated on.
    pub data: String,
    /// How many requests that was.
    pub requests: usize,
    /// Area under the ROC curve on requests held out.
    pub area_under_curve: f64,
    /// Expected calibration error on requests held out.
    pub calibration_error: f64,
}

/// A profile that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A number is infinite or no number.
    #[error("the router profile's `{field}` is not a finite number; make the profile again")]
    NotFinite {
        /// The field.
        field: String,
    },
    /// The threshold is outside of [0, 1].
    #[error("the router profile's `threshold` must be from 0 to 1; make the profile again")]
    Threshold,
    /// The hand-over window is empty or absurd.
    #[error("the router profile's `hand_over.window` must be from 1 to 4096 tokens; make the profile again")]
    Window,
}

impl Profile {
    /// The profile for models that have none of their own.
    ///
    /// **It is not calibrated.** Its weights are judgements, not measurements: a request with nothing remarkable scores
    /// about 0.1, unsure first tokens bring it to about one half, and hints from words alone never cross the threshold.
    /// Its scores order requests; they are no probabilities.
    pub fn uncalibrated() -> Self {
        let weights = [
            (names::CONTEXT_SHARE, 1.0),
            (names::LONG_PROMPT, 1.5),
            (names::CODE, 0.6),
            (names::MATHEMATICS, 0.8),
            (names::SEVERAL_STEPS, 0.4),
            (names::FIRST_MARGIN, 3.0),
            (names::LOWEST_MARGIN, 0.5),
            (names::COLLAPSED_MARGIN, 4.0),
        ];
        Self {
            model: String::new(),
            quantization: String::new(),
            calibration: None,
            bias: -2.2,
            weights: weights.map(|(name, weight)| (name.to_owned(), weight)).into(),
            threshold: 0.5,
            hand_over: HandOverRule::default(),
        }
    }

    /// Checks a profile that came from a file.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let weights = self.weights.iter().map(|(name, &weight)| (format!("weights.{name}"), weight));
        let own = [("bias".to_owned(), self.bias), ("hand_over.floor".to_owned(), f64::from(self.hand_over.floor))];
        if let Some((field, _)) = own.into_iter().chain(weights).find(|(_, value)| !value.is_finite()) {
            return Err(ProfileError::NotFinite { field });
        }
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(ProfileError::Threshold);
        }
        if !(1..=4096).contains(&self.hand_over.window) {
            return Err(ProfileError::Window);
        }
        Ok(())
    }
}

/// The probability that near's answer will not be good enough, and what made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The probability, in [0, 1]; 1 where near cannot serve the request at all.
    pub value: f64,
    /// The profile's threshold, used where the policy names none.
    pub threshold: f64,
    /// Whether the profile was calibrated.
    pub calibrated: bool,
    /// What the signals added, strongest first.
    pub contributions: Vec<Contribution>,
}

impl Score {
    /// Whether some signal has this bearing.
    pub fn has(&self, bearing: Bearing) -> bool {
        self.contributions.iter().any(|contribution| contribution.bearing == bearing)
    }
}

/// What one signal added to a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The signal's name.
    pub name: String,
    /// What it added to the log odds; 0 for a signal without a weight.
    pub log_odds: f64,
    /// What was seen.
    pub evidence: String,
    /// How it enters the decision.
    pub bearing: Bearing,
}

/// Puts signals through a profile.
pub fn score(signals: &[Signal], profile: &Profile) -> Score {
    let mut contributions: Vec<Contribution> = signals
        .iter()
        .map(|signal| {
            let weight = match signal.bearing {
                Bearing::Weighed => profile.weights.get(&signal.name).copied().unwrap_or(0.0),
                _ => 0.0,
            };
            Contribution {
                name: signal.name.clone(),
                log_odds: weight * signal.value,
                evidence: signal.evidence.clone(),
                bearing: signal.bearing,
            }
        })
        .collect();
    let log_odds = profile.bias + contributions.iter().map(|contribution| contribution.log_odds).sum::<f64>();
    contributions.sort_by(|a, b| b.log_odds.abs().total_cmp(&a.log_odds.abs()));
    let near_cannot = signals.iter().any(|signal| signal.bearing == Bearing::NearCannot);
    let value = match 1.0 / (1.0 + (-log_odds).exp()) {
        _ if near_cannot => 1.0,
        // Weights that cancel infinitely give no number; nothing may cross because of that.
        value if value.is_nan() => 0.0,
        value => value,
    };
    Score { value, threshold: profile.threshold, calibrated: profile.calibration.is_some(), contributions }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::margin_signal;

    #[test]
    fn the_uncalibrated_profile_says_so_and_behaves_as_documented() {
        let profile = Profile::uncalibrated();
        profile.validate().unwrap();
        let nothing = score(&[], &profile);
        assert!(!nothing.calibrated);
        assert!((0.05..0.15).contains(&nothing.value), "{}", nothing.value);
        let hints: Vec<Signal> =
            [names::CODE, names::MATHEMATICS, names::SEVERAL_STEPS].map(|name| Signal::new(name, 1.0, "")).into();
        assert!(score(&hints, &profile).value < profile.threshold);
        let unsure = score(&[margin_signal(&[0.2, 0.3, 0.4])], &profile);
        assert!(unsure.value > 0.45, "{}", unsure.value);
    }

    #[test]
    fn scores_stay_in_range_whatever_the_weights() {
        for weight in [f64::MAX, -f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.0] {
            for value in [0.0, 0.5, 1.0, f64::NAN, 7.0] {
                let mut profile = Profile::uncalibrated();
                profile.weights.insert("x".to_owned(), weight);
                let score = score(&[Signal::new("x", value, "")], &profile);
                assert!((0.0..=1.0).contains(&score.value), "{weight} {value}: {}", score.value);
            }
        }
    }

    #[test]
    fn an_unknown_signal_is_shown_and_weighs_nothing() {
        let profile = Profile::uncalibrated();
        let score_with = score(&[Signal::new("novel", 1.0, "Something new.")], &profile);
        assert!((score_with.value - score(&[], &profile).value).abs() < 1e-12);
        assert_eq!(score_with.contributions[0].evidence, "Something new.");
    }

    #[test]
    fn a_profile_survives_json_and_a_bad_one_is_refused() {
        let mut profile = Profile::uncalibrated();
        let text = serde_json::to_string(&profile).unwrap();
        assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile);
        profile.threshold = 1.5;
        assert_eq!(profile.validate(), Err(ProfileError::Threshold));
        profile.threshold = 0.5;
        profile.bias = f64::NAN;
        assert_eq!(profile.validate(), Err(ProfileError::NotFinite { field: "bias".to_owned() }));
        profile.bias = 0.0;
        profile.hand_over.window = 0;
        assert_eq!(profile.validate(), Err(ProfileError::Window));
    }
}
