//! The grammar of an answer that must call a tool.

use nearside_engine::{Constraint, EngineError};
use nearside_text::reply::ReplyFormat;
use nearside_wire::FunctionTool;
use serde_json::Value;

/// One call of one of these functions, in the form that the model was taught or told. Each schema is a JSON value of
/// its own, so that references within it keep their meaning.
pub(crate) fn one_call(functions: &[FunctionTool], format: &ReplyFormat) -> Result<Constraint, EngineError> {
    let (open, close) = format.call_texts();
    let around = |text: &str| if text.is_empty() { String::new() } else { quoted(text) };
    let names: Vec<String> = (0..functions.len()).map(|index| format!("call{index}")).collect();
    let mut rules = format!("start: {} call {}\ncall: {}\n", around(&open), around(&close), names.join(" | "));
    for (index, function) in functions.iter().enumerate() {
        let head = quoted(&format!("{{\"name\": {}, \"arguments\": ", quoted(&function.name)));
        let schema = Constraint::written(closed(&function.parameters))?;
        rules.extend([
            format!("call{index}: {head} arguments{index} \"}}\"\n"),
            format!("arguments{index}: %json {schema}\n"),
        ]);
    }
    Ok(Constraint::Lark(rules))
}

/// A text as JSON and as Lark.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Words beside which a schema's properties are not all that there is.
const MORE: [&str; 6] = ["additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf"];

/// A function takes the arguments that it names, unless it says that it takes more; and it takes an object.
fn closed(parameters: &Value) -> Value {
    let mut schema = parameters.clone();
    if let Some(fields) = schema.as_object_mut()
        && !MORE.iter().any(|word| fields.contains_key(*word))
    {
        if fields.contains_key("properties") {
            fields.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        fields.entry("type").or_insert_with(|| "object".into());
    }
    schema
}
