//! What `/v1/models` answers.

use serde::{Deserialize, Serialize};

/// The list of models a server offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelList {
    /// Always `list`.
    pub object: String,
    /// The models.
    pub data: Vec<ModelCard>,
}

impl ModelList {
    /// A list of the given models.
    pub fn new(data: Vec<ModelCard>) -> Self {
        Self { object: "list".to_owned(), data }
    }
}

/// One model in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The name to put into a request's `model`.
    pub id: String,
    /// Always `model`.
    #[serde(default = "object")]
    pub object: String,
    /// When the model was made, in seconds since 1970; 0 where that is not known.
    #[serde(default)]
    pub created: u64,
    /// Who serves it.
    #[serde(default)]
    pub owned_by: String,
}

fn object() -> String {
    "model".to_owned()
}

impl ModelCard {
    /// A model of unknown date.
    pub fn new(id: impl Into<String>, owned_by: impl Into<String>) -> Self {
        Self { id: id.into(), object: object(), created: 0, owned_by: owned_by.into() }
    }
}
