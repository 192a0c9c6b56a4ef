//! One observation about a request.

use serde::{Deserialize, Serialize};

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The local model.
    Near,
    /// The frontier model behind the Worker.
    Far,
}

/// One cheap observation about a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Which observation; the profile's weights go by this name. The usual ones are in [`names`].
    pub name: String,
    /// How strong it is, from 0 to 1.
    pub value: f64,
    /// What was seen, as a sentence for the user.
    pub evidence: String,
    /// How it enters the decision.
    #[serde(default)]
    pub bearing: Bearing,
}

impl Signal {
    /// A signal that the profile weighs. The value is brought into [0, 1]; one that is no number counts as 0.
    pub fn new(name: &str, value: f64, evidence: impl Into<String>) -> Self {
        let value = if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
        Self { name: name.to_owned(), value, evidence: evidence.into(), bearing: Bearing::Weighed }
    }

    /// The same signal, with another bearing.
    #[must_use]
    pub fn bearing(mut self, bearing: Bearing) -> Self {
        self.bearing = bearing;
        self
    }
}

/// How a signal enters the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bearing {
    /// Through the profile's weight for it.
    #[default]
    Weighed,
    /// The near model cannot serve the request at all.
    NearCannot,
    /// The caller asked for near.
    WantsNear,
    /// The caller asked for far.
    WantsFar,
}

/// The names of the signals that this crate draws.
pub mod names {
    /// The part of the context that prompt and answer fill.
    pub const CONTEXT_SHARE: &str = "context_share";
    /// How long the prompt is, whatever the context.
    pub const LONG_PROMPT: &str = "long_prompt";
    /// Parts that are not text.
    pub const ATTACHMENTS: &str = "attachments";
    /// The caller's explicit wish.
    pub const FORCED: &str = "forced";
    /// The request is about code.
    pub const CODE: &str = "code";
    /// The request is about mathematics.
    pub const MATHEMATICS: &str = "mathematics";
    /// The request asks for several steps.
    pub const SEVERAL_STEPS: &str = "several_steps";
    /// How unsure the first tokens are on average.
    pub const FIRST_MARGIN: &str = "first_margin";
    /// How unsure the least sure of the first tokens is.
    pub const LOWEST_MARGIN: &str = "lowest_margin";
    /// The margins collapsed midway.
    pub const COLLAPSED_MARGIN: &str = "collapsed_margin";
}
