//! What an answer of a given form may begin with: a thought, which has no form.

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use nearside_text::Tokenizer;

/// What the grammar of the form is called.
const FORM: &str = "form";

/// The marks of a thought that comes before what a constraint is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thought {
    /// The mark that opens it, where it is the answer that writes it: the thought may then be left out. Without one
    /// the prompt has opened the thought already, and the answer has to close it.
    pub open: Option<String>,
    /// The mark that closes it.
    pub close: String,
}

impl Thought {
    /// The grammar of an answer that thinks and then has this form.
    pub(super) fn before(&self, form: GrammarWithLexer, tokenizer: &Tokenizer) -> TopLevelGrammar {
        let thought = match mark(&self.close, tokenizer) {
            // No text contains a mark that is a token of its own.
            Some(close) => format!("thought: text {close} gap?\ntext: /(.|\\n)*/"),
            None => format!("thought: text gap?\ntext[lazy]: /(.|\\n)*{}/", escaped(&self.close)),
        };
        let start = match &self.open {
            None => format!("thought @{FORM}"),
            Some(open) => {
                let open = mark(open, tokenizer).unwrap_or_else(|| format!("/{}/", escaped(open)));
                format!("@{FORM} | {open} thought @{FORM}")
            }
        };
        // Models leave an empty line before what they say.
        let whole = GrammarWithLexer::from_lark(format!("start: {start}\n{thought}\ngap: /\\n\\n?/\n"));
        let form = GrammarWithLexer { name: Some(FORM.to_owned()), ..form };
        TopLevelGrammar { grammars: vec![GrammarWithLexer { name: None, ..whole }, form], max_tokens: None }
    }
}

/// How Lark speaks of a mark that the vocabulary has a token for which is no text.
fn mark(mark: &str, tokenizer: &Tokenizer) -> Option<String> {
    let id = tokenizer.id(mark).filter(|id| tokenizer.mark(*id).is_some())?;
    Some(format!("<[{id}]>"))
}

/// A regular expression that matches this text alone. Only those letters are escaped that mean something else: others
/// would come to mean something by that.
fn escaped(text: &str) -> String {
    let letter = |letter: char| {
        let special = "\\/.+*?()|[]{}^$&~-#".contains(letter);
        special.then_some('\\').into_iter().chain([letter])
    };
    text.chars().flat_map(letter).collect()
}
