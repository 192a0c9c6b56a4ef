//! A thought that the prompt opens, and that an answer of a given form has to finish first.

use nearside_text::Tokenizer;

/// The mark that ends the thought.
pub(crate) struct Thought {
    close: &'static str,
    /// Whether the vocabulary has a token for it that is no text.
    own_token: bool,
}

impl Thought {
    /// A thought that ends with this mark.
    pub(crate) fn new(close: &'static str, tokenizer: &Tokenizer) -> Self {
        Self { close, own_token: tokenizer.id(close).is_some_and(|id| tokenizer.mark(id).is_some()) }
    }

    /// A Lark grammar that begins with the thought, if there is one.
    pub(crate) fn before(thought: Option<&Self>, start: &str, rules: &str) -> String {
        let Some(thought) = thought else { return format!("start: {start}\n{rules}") };
        if thought.own_token {
            return format!("start: thought {} {start}\nthought: /(.|\\n)*/\n{rules}", thought.close);
        }
        let close: String = thought.close.chars().map(escaped).collect();
        format!("start: thought {start}\nthought[lazy]: /(.|\\n)*{close}(\\n\\n)?/\n{rules}")
    }
}

/// A letter of a regular expression that means itself. Only those are escaped that mean something else: others would
/// come to mean something by that.
fn escaped(letter: char) -> String {
    if "\\/.+*?()|[]{}^$".contains(letter) { format!("\\{letter}") } else { letter.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grammar_begins_with_the_thought() {
        let grammar = |own_token| {
            let thought = Thought { close: "[/THINK]", own_token };
            Thought::before(Some(&thought), "value", "value: \"a\"\n")
        };
        assert_eq!(
            grammar(false),
            "start: thought value\nthought[lazy]: /(.|\\n)*\\[\\/THINK\\](\\n\\n)?/\nvalue: \"a\"\n"
        );
        assert!(grammar(true).starts_with("start: thought [/THINK] value\nthought: "));
        assert_eq!(Thought::before(None, "value", ""), "start: value\n");
    }
}
