//! Calls written as Python: `[weather(city="Oslo", days=3)]`.

use serde_json::{Map, Number, Value};

use crate::ToolCall;

/// Deeper values are not arguments.
const DEPTH: usize = 32;

/// The calls of a text that is nothing but calls, in a list or one to a line.
pub(super) fn calls(text: &str) -> Option<Vec<ToolCall>> {
    let mut reader = Reader { rest: text.trim() };
    let list = reader.take("[");
    let mut calls = Vec::new();
    loop {
        reader.space();
        if reader.rest.is_empty() || (list && reader.rest == "]") {
            return (!calls.is_empty() && list == (reader.rest == "]")).then_some(calls);
        }
        calls.push(reader.call()?);
        reader.space();
        reader.take(",");
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn name(&mut self) -> Option<String> {
        let word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '.' | '-');
        let end = self.rest.find(|character| !word(character)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())).then(|| name.to_owned())
    }

    fn call(&mut self) -> Option<ToolCall> {
        let name = self.name()?;
        if !self.take("(") {
            return None;
        }
        let mut arguments = Map::new();
        loop {
            self.space();
            if self.take(")") {
                return Some(ToolCall { id: String::new(), name, arguments: Value::Object(arguments) });
            }
            let key = self.name()?;
            self.space();
            if !self.take("=") {
                return None;
            }
            arguments.insert(key, self.value(0)?);
            self.space();
            if !self.take(",") && !self.rest.starts_with(')') {
                return None;
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.space();
        if depth > DEPTH {
            return None;
        }
        match self.rest.chars().next()? {
            quote @ ('"' | '\'') => self.text(quote).map(Value::String),
            '[' => self.list(depth).map(Value::Array),
            '{' => self.map(depth).map(Value::Object),
            _ => self.word(),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value>> {
        self.take("[");
        let mut values = Vec::new();
        loop {
            self.space();
            if self.take("]") {
                return Some(values);
            }
            values.push(self.value(depth + 1)?);
            self.space();
            if !self.take(",") && !self.rest.starts_with(']') {
                return None;
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Map<String, Value>> {
        self.take("{");
        let mut map = Map::new();
        loop {
            self.space();
            if self.take("}") {
                return Some(map);
            }
            let quote = self.rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            let key = self.text(quote)?;
            self.space();
            if !self.take(":") {
                return None;
            }
            map.insert(key, self.value(depth + 1)?);
            self.space();
            if !self.take(",") && !self.rest.starts_with('}') {
                return None;
            }
        }
    }

    fn text(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                _ if character == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                '\\' => match characters.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    plain @ ('\\' | '\'' | '"') => text.push(plain),
                    other => text.extend(['\\', other]),
                },
                plain => text.push(plain),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find([',', ')', ']', '}']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word.trim() {
            "True" | "true" => Some(Value::Bool(true)),
            "False" | "false" => Some(Value::Bool(false)),
            "None" | "null" => Some(Value::Null),
            number => number.parse::<Number>().ok().map(Value::Number),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::calls;

    #[test]
    fn literals_of_every_kind_become_json() {
        let text = r#"[f(a="it's", b='q\'"\n', c=-1.5e3, d=True, e=None, f=[1, [2]], g={'k': "v", "n": 2}), g()]"#;
        let calls = calls(text).unwrap();
        assert_eq!(calls.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(), ["f", "g"]);
        let expected = json!({"a": "it's", "b": "q'\"\n", "c": -1.5e3, "d": true, "e": null, "f": [1, [2]], "g": {"k": "v", "n": 2}});
        assert_eq!(calls[0].arguments, expected);
        assert_eq!(calls[1].arguments, json!({}));
    }

    #[test]
    fn anything_else_is_not_a_call() {
        for text in [
            "",
            "[]",
            "f",
            "f(",
            "f(1)",
            "f(a=)",
            "f(a=1",
            "[f(a=1)",
            "f(a=1)]",
            "1f()",
            "f(a=open)",
            "print x",
            "[1, 2]",
        ] {
            assert!(calls(text).is_none(), "{text}");
        }
        assert!(calls(&format!("f(a={})", "[".repeat(100_000))).is_none());
    }
}
