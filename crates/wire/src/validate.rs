//! The limits of a request, each refused with the field's name and what is allowed.

use crate::{ChatRequest, Content, Stop, WireError};

const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];
const MOST_STOP_STRINGS: usize = 4;
const MOST_TOP_LOGPROBS: i64 = 20;
const MOST_ANSWERS: i64 = 16;

impl ChatRequest {
    /// Checks every limit that does not depend on the model.
    pub fn validate(&self) -> Result<(), WireError> {
        self.validate_messages()?;
        at_least("max_tokens", self.max_tokens, 1)?;
        at_least("max_completion_tokens", self.max_completion_tokens, 1)?;
        at_least("top_k", self.top_k, 0)?;
        within("temperature", self.temperature, 0.0, 2.0)?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        within("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        within("repetition_penalty", self.repetition_penalty, 0.1, 10.0)?;
        if let Some(n) = self.n.filter(|n| !(1..=MOST_ANSWERS).contains(n)) {
            return Err(WireError::field("n", format!("is {n}; it must be from 1 to {MOST_ANSWERS}")));
        }
        if let Some(top) = self.top_logprobs {
            if !(0..=MOST_TOP_LOGPROBS).contains(&top) {
                return Err(WireError::field(
                    "top_logprobs",
                    format!("is {top}; it must be from 0 to {MOST_TOP_LOGPROBS}"),
                ));
            }
            if self.logprobs != Some(true) {
                return Err(WireError::field("top_logprobs", "needs `logprobs` to be true"));
            }
        }
        self.validate_stop()
    }

    fn validate_messages(&self) -> Result<(), WireError> {
        if self.messages.is_empty() {
            return Err(WireError::field("messages", "is empty; send at least one message"));
        }
        for (index, message) in self.messages.iter().enumerate() {
            if !ROLES.contains(&message.role.as_str()) {
                let role: String = message.role.chars().take(32).collect();
                return Err(WireError::field(
                    format!("messages[{index}].role"),
                    format!("is {role:?}; it must be one of {}", ROLES.join(", ")),
                ));
            }
            let field = || format!("messages[{index}].content");
            match &message.content {
                None if message.role != "assistant" => {
                    return Err(WireError::field(field(), "is missing; send a string or a list of parts"));
                }
                Some(Content::Parts(parts)) => {
                    for (part_index, part) in parts.iter().enumerate() {
                        if part.kind == "text" && part.text.is_none() {
                            return Err(WireError::field(
                                format!("{}[{part_index}].text", field()),
                                "is missing; a part of type text needs its text",
                            ));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn validate_stop(&self) -> Result<(), WireError> {
        match &self.stop {
            Some(Stop::One(text)) if text.is_empty() => Err(WireError::field("stop", "holds an empty string")),
            Some(Stop::Many(texts)) if texts.len() > MOST_STOP_STRINGS => Err(WireError::field(
                "stop",
                format!("holds {} strings; at most {MOST_STOP_STRINGS} are served", texts.len()),
            )),
            Some(Stop::Many(texts)) if texts.iter().any(String::is_empty) => {
                Err(WireError::field("stop", "holds an empty string"))
            }
            _ => Ok(()),
        }
    }
}

fn at_least(field: &str, value: Option<i64>, least: i64) -> Result<(), WireError> {
    match value {
        Some(value) if value < least => {
            Err(WireError::field(field, format!("is {value}; it must be at least {least}")))
        }
        _ => Ok(()),
    }
}

fn within(field: &str, value: Option<f64>, least: f64, most: f64) -> Result<(), WireError> {
    match value {
        // Written so that a NaN is refused too.
        Some(value) if !(least..=most).contains(&value) => {
            Err(WireError::field(field, format!("is {value}; it must be from {least} to {most}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_field(json: &str) -> String {
        let error = ChatRequest::from_json(json.as_bytes()).expect_err(json);
        assert_eq!(error.status(), 400);
        error.body().error.param.unwrap_or_else(|| panic!("{json}: {error} names no field"))
    }

    fn with(field: &str) -> String {
        format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{field}}}"#)
    }

    #[test]
    fn each_limit_names_its_field() {
        assert_eq!(refused_field("{}"), "messages");
        assert_eq!(refused_field(r#"{"messages":null}"#), "messages");
        for (body, field) in [
            (r#""max_tokens":-1"#, "max_tokens"),
            (r#""max_completion_tokens":0"#, "max_completion_tokens"),
            (r#""temperature":2.5"#, "temperature"),
            (r#""temperature":-0.1"#, "temperature"),
            (r#""top_p":1.5"#, "top_p"),
            (r#""top_k":-2"#, "top_k"),
            (r#""n":17"#, "n"),
            (r#""repetition_penalty":0"#, "repetition_penalty"),
            (r#""n":0"#, "n"),
            (r#""top_logprobs":21,"logprobs":true"#, "top_logprobs"),
            (r#""top_logprobs":2"#, "top_logprobs"),
            (r#""stop":"""#, "stop"),
            (r#""stop":["a","b","c","d","e"]"#, "stop"),
        ] {
            assert_eq!(refused_field(&with(body)), field);
        }
    }

    #[test]
    fn a_message_at_fault_is_pointed_at() {
        let fine = r#"{"role":"user","content":"hi"}"#;
        assert_eq!(
            refused_field(&format!(r#"{{"messages":[{fine},{{"role":"robot","content":"x"}}]}}"#)),
            "messages[1].role"
        );
        assert_eq!(refused_field(r#"{"messages":[{"role":"user"}]}"#), "messages[0].content");
        assert_eq!(
            refused_field(r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#),
            "messages[0].content[0].text"
        );
    }

    #[test]
    fn nulls_for_every_option_are_as_if_absent() {
        let request = ChatRequest::from_json(
            with(r#""model":null,"stream":null,"stream_options":null,"max_tokens":null,"temperature":null,"top_p":null,"seed":null,"stop":null,"logprobs":null,"top_logprobs":null,"n":null"#)
                .as_bytes(),
        )
        .unwrap();
        assert!(!request.stream);
        assert_eq!(request.token_limit(), None);
    }

    #[test]
    fn not_json_says_where() {
        for body in ["", "{", "[]", r#"{"messages": 3}"#, "\u{0}"] {
            let error = ChatRequest::from_json(body.as_bytes()).expect_err(body);
            assert!(matches!(&error, WireError::Malformed { .. }), "{error}");
            assert_eq!(error.status(), 400);
        }
        let deep = "[".repeat(100_000);
        assert!(ChatRequest::from_json(deep.as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_known_here_reaches_the_upstream() {
        let text = with(r#""tools":[{"type":"function"}],"stream":true,"stop":"end","temperature":0.7"#);
        let request = ChatRequest::from_json(text.as_bytes()).unwrap();
        let written: serde_json::Value = serde_json::to_value(&request).unwrap();
        assert_eq!(written["tools"][0]["type"], "function");
        assert_eq!(written["stop"], "end");
        assert_eq!(written["temperature"], 0.7);
        assert!(written.get("top_p").is_none());
    }
}
