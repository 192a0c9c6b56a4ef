//! The forms in which a constraint is written.

use std::sync::Arc;

use llguidance::api::GrammarWithLexer;
use nearside_text::{SpecialTokens, Tokenizer};
use serde_json::{Value, json};

use super::Grammars;
use super::limits::check_source;
use super::schema::{check_schema, check_schemas_within};
use crate::EngineError;

/// What a schema is called in errors.
const SCHEMA: &str = "JSON schema";

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
    /// grammar. One that would take too much work is refused.
    pub fn written(mut schema: Value) -> Result<Value, EngineError> {
        check_schema(&mut schema).map_err(|problem| EngineError::Constraint { kind: SCHEMA, problem })?;
        Ok(written(schema))
    }

    /// Whether an answer of this text would keep to it, for models with that tokenizer.
    pub fn accepts(&self, tokenizer: &Arc<Tokenizer>, text: &str) -> Result<bool, EngineError> {
        let mut matcher = Grammars::default().matcher(tokenizer, self, None, tokenizer.size())?;
        let mut complete = false;
        for token in tokenizer.encode(text, SpecialTokens::default())? {
            let allowed = |mask: &[u32]| mask[token as usize / 32] >> (token % 32) & 1 == 1;
            if complete || !allowed(matcher.mask()?) {
                return Ok(false);
            }
            complete = matcher.take(token)?;
        }
        Ok(complete || matcher.may_end()?)
    }

    /// What it is called in errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::JsonObject | Self::JsonSchema(_) => SCHEMA,
            Self::Regex(_) => "regular expression",
            Self::Lark(_) => "grammar",
        }
    }

    /// An error in it.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> EngineError {
        EngineError::Constraint { kind: self.kind(), problem: problem.into() }
    }

    /// The form that llguidance reads.
    pub(super) fn grammar(&self) -> Result<GrammarWithLexer, EngineError> {
        Ok(match self {
            Self::JsonObject => GrammarWithLexer::from_json_schema(written(json!({ "type": "object" }))),
            Self::JsonSchema(text) => {
                check_source(text).map_err(|problem| self.wrong(problem))?;
                let schema =
                    serde_json::from_str(text).map_err(|error| self.wrong(format!("it is not JSON: {error}")))?;
                GrammarWithLexer::from_json_schema(Self::written(schema)?)
            }
            Self::Regex(text) => {
                check_source(text).map_err(|problem| self.wrong(problem))?;
                GrammarWithLexer::from_regex(text)
            }
            Self::Lark(text) => {
                check_source(text).and_then(|()| check_schemas_within(text)).map_err(|problem| self.wrong(problem))?;
                GrammarWithLexer::from_lark(text.clone())
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
