//! The forms in which a constraint is written.

use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use super::limits::check_source;
use crate::EngineError;

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// Any JSON object.
    JsonObject,
    /// A JSON value that this schema accepts. It is written on one line with a space after each comma and colon,
    /// as models have mostly seen it.
    JsonSchema(String),
    /// A text that matches this regular expression from its beginning to its end.
    Regex(String),
    /// A text of this grammar, written in llguidance's dialect of Lark.
    Lark(String),
}

impl Constraint {
    /// The schema with the way in which its values are written, as [`Self::JsonSchema`] has it: for `%json` in a
    /// grammar.
    #[must_use]
    pub fn written(schema: Value) -> Value {
        written(schema)
    }

    /// What it is called in errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::JsonObject | Self::JsonSchema(_) => "JSON schema",
            Self::Regex(_) => "regular expression",
            Self::Lark(_) => "grammar",
        }
    }

    /// An error in it.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> EngineError {
        EngineError::Constraint { kind: self.kind(), problem: problem.into() }
    }

    /// The form that llguidance reads.
    pub(super) fn grammar(&self) -> Result<TopLevelGrammar, EngineError> {
        Ok(match self {
            Self::JsonObject => TopLevelGrammar::from_json_schema(written(json!({ "type": "object" }))),
            Self::JsonSchema(text) => {
                check_source(text).map_err(|problem| self.wrong(problem))?;
                let schema =
                    serde_json::from_str(text).map_err(|error| self.wrong(format!("it is not JSON: {error}")))?;
                TopLevelGrammar::from_json_schema(written(schema))
            }
            Self::Regex(text) => {
                check_source(text).map_err(|problem| self.wrong(problem))?;
                TopLevelGrammar::from_regex(text)
            }
            Self::Lark(text) => {
                check_source(text).map_err(|problem| self.wrong(problem))?;
                TopLevelGrammar::from_lark(text.clone())
            }
        })
    }
}

/// The schema with the way its values are written. Free white space would let a small model write it without end.
fn written(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        let way = json!({ "item_separator": ", ", "key_separator": ": ", "whitespace_flexible": false });
        fields.insert("x-guidance".to_owned(), way);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_or_too_deep_is_refused_by_name() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        for (constraint, kind, word) in [
            (Constraint::JsonSchema("{".to_owned()), "JSON schema", "not JSON"),
            (Constraint::JsonSchema(deep.clone()), "JSON schema", "deep"),
            (Constraint::Regex("a".repeat(100_000)), "regular expression", "bytes"),
            (Constraint::Lark(deep), "grammar", "deep"),
        ] {
            let error = constraint.grammar().expect_err("a refusal").to_string();
            assert!(error.contains(kind) && error.contains(word), "{error}");
        }
    }

    #[test]
    fn brackets_within_quotes_and_behind_a_backslash_open_nothing() {
        let quoted = format!("start: \"{}\" /\\(\\[{{/", "(".repeat(1000));
        assert!(Constraint::Lark(quoted).grammar().is_ok());
    }
}
