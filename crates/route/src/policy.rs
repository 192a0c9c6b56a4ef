//! What the app and the user allow.

use serde::{Deserialize, Serialize};

use crate::Kind;

/// What the app and the user allow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Who may answer.
    pub mode: Mode,
    /// The score from which to go far; the profile's where absent.
    pub threshold: Option<f64>,
    /// What crossings may cost in all.
    pub budget: Budget,
    /// What is replaced by placeholders before anything crosses.
    pub redact: Vec<Kind>,
    /// Whether an answer that near has begun may be handed over midway.
    pub hand_over: bool,
}

impl Default for Policy {
    /// Asks before every crossing and redacts everything that can be recognised.
    fn default() -> Self {
        Self {
            mode: Mode::Ask,
            threshold: None,
            budget: Budget::default(),
            redact: Kind::ALL.to_vec(),
            hand_over: true,
        }
    }
}

/// Who may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing ever crosses.
    NearOnly,
    /// The user is asked before each crossing.
    #[default]
    Ask,
    /// Crossings happen by the score. Choosing this mode is the consent.
    Auto,
    /// Every request crosses. Choosing this mode is the consent.
    FarOnly,
}

impl Mode {
    /// Whether choosing this mode is itself the consent to cross.
    pub fn grants_consent(self) -> bool {
        matches!(self, Self::Auto | Self::FarOnly)
    }
}

/// What crossings may cost in all; absent means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Millionths of a dollar.
    pub microdollars: Option<u64>,
    /// How many crossings.
    pub crossings: Option<u32>,
}
