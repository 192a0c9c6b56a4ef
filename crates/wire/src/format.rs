//! The form that an answer must have.

use serde_json::Value;

use crate::{ChatRequest, WireError};

/// The form that an answer must have.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseFormat {
    /// Any text.
    Text,
    /// A JSON object.
    JsonObject,
    /// A JSON value that this schema accepts.
    JsonSchema(Value),
    /// A text that matches this regular expression. An extension.
    Regex(String),
    /// A text of this Lark grammar. An extension.
    Lark(String),
}

impl ChatRequest {
    /// The form that the answer must have.
    pub fn response_format(&self) -> Result<ResponseFormat, WireError> {
        let wrong = |place: &str, problem: &str| Err(WireError::field(format!("response_format{place}"), problem));
        let Some(format) = self.given("response_format") else { return Ok(ResponseFormat::Text) };
        let text = |field: &str| format.get(field).and_then(Value::as_str).map(str::to_owned);
        match format.get("type").and_then(Value::as_str) {
            Some("text") => Ok(ResponseFormat::Text),
            Some("json_object") => Ok(ResponseFormat::JsonObject),
            Some("json_schema") => match format.pointer("/json_schema/schema") {
                Some(schema @ (Value::Object(_) | Value::Bool(_))) => Ok(ResponseFormat::JsonSchema(schema.clone())),
                _ => wrong(".json_schema.schema", "is missing; send a JSON Schema, an object"),
            },
            Some("regex") => match text("pattern") {
                Some(pattern) => Ok(ResponseFormat::Regex(pattern)),
                None => wrong(".pattern", "is missing; send a regular expression as a string"),
            },
            Some("lark") => match text("grammar") {
                Some(grammar) => Ok(ResponseFormat::Lark(grammar)),
                None => wrong(".grammar", "is missing; send a Lark grammar as a string"),
            },
            _ => wrong(".type", "must be `text`, `json_object`, `json_schema`, `regex` or `lark`"),
        }
    }

    /// What is added to tokens' logits, by their numbers.
    pub fn logit_bias(&self) -> Result<Vec<(u32, f32)>, WireError> {
        const MOST: usize = 1024;
        let wrong = |problem: String| Err(WireError::field("logit_bias", problem));
        let Some(biases) = self.given("logit_bias") else { return Ok(Vec::new()) };
        let Some(biases) = biases.as_object() else {
            return wrong("must be an object of token numbers and biases".to_owned());
        };
        if biases.len() > MOST {
            return wrong(format!("holds {} tokens; at most {MOST} are served", biases.len()));
        }
        let mut read = Vec::with_capacity(biases.len());
        for (token, bias) in biases {
            match (token.parse(), bias.as_f64()) {
                (Ok(token), Some(bias)) if (-100.0..=100.0).contains(&bias) => read.push((token, bias as f32)),
                (Err(_), _) => return wrong(format!("holds {token:?}, which is no token's number")),
                _ => return wrong(format!("gives token {token} {bias}; a bias must be from -100 to 100")),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: &str) -> ChatRequest {
        let text = format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn every_form_is_read() {
        let format = |value: &str| request(&format!(r#""response_format":{value}"#)).response_format().unwrap();
        assert_eq!(format("null"), ResponseFormat::Text);
        assert_eq!(format(r#"{"type":"text"}"#), ResponseFormat::Text);
        assert_eq!(format(r#"{"type":"json_object"}"#), ResponseFormat::JsonObject);
        let schema = format(r#"{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"null"}}}"#);
        assert_eq!(schema, ResponseFormat::JsonSchema(serde_json::json!({ "type": "null" })));
        assert_eq!(format(r#"{"type":"regex","pattern":"a+"}"#), ResponseFormat::Regex("a+".to_owned()));
        assert_eq!(format(r#"{"type":"lark","grammar":"start: \"a\""}"#), ResponseFormat::Lark("start: \"a\"".into()));
    }

    #[test]
    fn each_mistake_names_its_field() {
        for (more, field) in [
            (r#""response_format":{"type":"xml"}"#, "response_format.type"),
            (r#""response_format":"json""#, "response_format.type"),
            (r#""response_format":{"type":"json_schema"}"#, "response_format.json_schema.schema"),
            (r#""response_format":{"type":"regex"}"#, "response_format.pattern"),
        ] {
            let error = request(more).response_format().expect_err(more);
            assert_eq!(error.body().error.param.as_deref(), Some(field), "{error}");
        }
        for more in
            [r#""logit_bias":[]"#, r#""logit_bias":{"a":1}"#, r#""logit_bias":{"5":101}"#, r#""logit_bias":{"5":"1"}"#]
        {
            let error = request(more).logit_bias().expect_err(more);
            assert_eq!(error.body().error.param.as_deref(), Some("logit_bias"), "{error}");
        }
        assert_eq!(request(r#""logit_bias":{"5":-100,"7":0.5}"#).logit_bias().unwrap(), [(5, -100.0), (7, 0.5)]);
    }
}
