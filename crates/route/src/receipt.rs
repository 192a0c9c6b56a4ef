//! What a crossing sent, kept on the device.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Kind, Redactions};

/// What a crossing sent, and what came of it. It holds no text of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The crossing's id, given by the caller.
    pub id: String,
    /// When it was sent, in milliseconds since 1970, as the caller's clock says.
    pub at: u64,
    /// The Worker it went to.
    pub destination: String,
    /// The model it was for.
    pub model: String,
    /// Bytes of the body that was sent.
    pub bytes: usize,
    /// The fields of the request that were sent, such as `messages` and `temperature`.
    pub fields: Vec<String>,
    /// How many messages were sent.
    pub messages: usize,
    /// How many different values of each kind were replaced by placeholders.
    pub redactions: BTreeMap<Kind, usize>,
    /// Why it crossed, as the decision said.
    pub reasons: Vec<String>,
    /// What it cost, in millionths of a dollar, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_microdollars: Option<u64>,
    /// Tokens the far side read, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// Tokens the far side wrote, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
}

impl Receipt {
    /// A receipt that knows only its id and time; the caller fills in what it sent.
    pub fn new(id: impl Into<String>, at: u64) -> Self {
        Self {
            id: id.into(),
            at,
            destination: String::new(),
            model: String::new(),
            bytes: 0,
            fields: Vec::new(),
            messages: 0,
            redactions: BTreeMap::new(),
            reasons: Vec::new(),
            cost_microdollars: None,
            prompt_tokens: None,
            completion_tokens: None,
        }
    }

    /// Writes down how many values were redacted, never which.
    #[must_use]
    pub fn redacted(mut self, redactions: &Redactions) -> Self {
        self.redactions = redactions.counts();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact;

    #[test]
    fn a_receipt_counts_redactions_and_holds_none_of_the_values() {
        let (_, redactions) = redact("ada@example.org, bob@example.org, ada@example.org, 10.0.0.1", &Kind::ALL);
        let receipt = Receipt::new("r1", 5).redacted(&redactions);
        assert_eq!(receipt.redactions, BTreeMap::from([(Kind::Email, 2), (Kind::Ip, 1)]));
        let text = serde_json::to_string(&receipt).unwrap();
        assert!(text.contains(r#""redactions":{"email":2,"ip":1}"#), "{text}");
        assert!(!text.contains("ada"));
        assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap(), receipt);
    }
}
