//! Splitting text into words before merging, the way each family of models was trained.

use nearside_gguf::Metadata;
use regex::Regex;

use crate::TextError;

/// The patterns end with white space, which the trained expression writes `\s+(?!\S)|\s+`: a run of white
/// space leaves its last character to the word that follows. A plain `\s+` and [`Splitter::words`] do the
/// same without looking ahead, so matching stays linear in the text whatever the text is.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN35: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+";
const DIGIT: &str = r"\p{N}";
const PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|]+";
const PUNCTUATION_AND_BACKTICK: &str = r"[\p{P}\$\+<=>\^~\|`]+";
const LINE_END: &str = r"[\r\n]";
const LETTERS: &str = r"\s?\p{L}+";
const SPACED_PUNCTUATION: &str = r"\s?\p{P}+";
/// Letters with case, but for those of scripts and blocks that this family's list leaves out.
const CASED_LETTERS: &str = r"\s?[[\p{Lu}\p{Ll}\p{Lt}]--[\u{560}-\u{588}\u{10c7}\u{10cd}\u{10d0}-\u{10ff}\u{1c80}-\u{1c8a}\u{2d00}-\u{2d2d}\u{a790}-\u{a7dc}\u{a7f5}-\u{a7fa}\u{ab30}-\u{ab68}\u{10570}-\u{105bc}\u{10d50}-\u{10d85}\u{16e40}-\u{16e7f}\u{1d400}-\u{1d7cb}\u{1df00}-\u{1df2a}]]+";
const WIDE_PUNCTUATION: &str = r"\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}]+";
const LAST_SPACE: &str = r"\s+$";
const HAN_AND_HANGUL: &str = r"[\u{0800}-\u{9fa5}\u{ac00}-\u{d7ff}]+";
const HAN_AND_KANA: &str = r"[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+";
const UP_TO_THREE_DIGITS: &str = r"\p{N}{1,3}";
const DEEPSEEK3: &str =
    r"[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+";
const NUMBER: &str = r"\p{N}+";
const THREE_DIGITS: &str = "[0-9][0-9][0-9]";

/// One way of splitting.
struct Rule {
    /// The names files give it.
    names: &'static [&'static str],
    /// Applied one after the other, each to the pieces that the one before left.
    patterns: &'static [&'static str],
    /// Whether a word that is a token is taken whole, without merging.
    whole_words: bool,
    /// Whether files that do not say otherwise want their begin token.
    begin: bool,
}

const RULES: &[Rule] = &[
    Rule::new(&["default"], &[PUNCTUATION, GPT2, NUMBER, THREE_DIGITS]),
    Rule::new(&["falcon"], &[PUNCTUATION_AND_BACKTICK, GPT2, THREE_DIGITS]),
    Rule::new(
        &["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "mellum", "a.x-4.0"],
        &[GPT2],
    ),
    Rule::new(
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[DIGIT, GPT2],
    ),
    Rule::new(&["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"], &[LLAMA3])
        .whole_words()
        .begin(),
    Rule::new(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[LLAMA3]),
    Rule::new(&["glm4"], &[LLAMA3]).whole_words(),
    Rule::new(&["qwen2", "stablelm2", "hunyuan", "megrez", "deepseek-r1-qwen", "kormo", "solar-open"], &[QWEN2]),
    Rule::new(&["qwen35"], &[QWEN35]),
    Rule::new(&["deepseek-llm"], &[LINE_END, CASED_LETTERS, WIDE_PUNCTUATION, LAST_SPACE, HAN_AND_HANGUL, NUMBER]),
    Rule::new(&["deepseek-coder"], &[LINE_END, LETTERS, SPACED_PUNCTUATION, HAN_AND_HANGUL, DIGIT]),
    Rule::new(&["deepseek-v3", "hunyuan-dense", "joyai-llm"], &[UP_TO_THREE_DIGITS, HAN_AND_KANA, DEEPSEEK3]),
    Rule::new(&["gpt-4o", "llama4", "kanana2", "minimax-m2"], &[GPT4O]),
    Rule::new(&["tekken"], &[TEKKEN]).whole_words().begin(),
];

impl Rule {
    const fn new(names: &'static [&'static str], patterns: &'static [&'static str]) -> Self {
        Self { names, patterns, whole_words: false, begin: false }
    }

    const fn whole_words(self) -> Self {
        Self { whole_words: true, ..self }
    }

    const fn begin(self) -> Self {
        Self { begin: true, ..self }
    }
}

pub(crate) struct Splitter {
    patterns: Vec<Pattern>,
    /// Whether a word that is a token is taken whole, without merging.
    pub(crate) whole_words: bool,
    /// Whether files that do not say otherwise want their begin token.
    pub(crate) begin: bool,
}

struct Pattern {
    expression: Regex,
    /// Whether white space that ends a line is a word of its own.
    line_ends: bool,
}

impl Splitter {
    pub(crate) fn read(metadata: &Metadata) -> Result<Self, TextError> {
        // Files from before the key existed were made for the first of these rules.
        let pre = metadata.text_if_present("tokenizer.ggml.pre")?.unwrap_or("default");
        let known = || RULES.iter().flat_map(|rule| rule.names).copied().collect::<Vec<_>>().join(", ");
        let unknown = || TextError::Splitter { pre: pre.to_owned(), known: known() };
        let rule = RULES.iter().find(|rule| rule.names.contains(&pre)).ok_or_else(unknown)?;
        let mut patterns = Vec::with_capacity(rule.patterns.len());
        for pattern in rule.patterns {
            let expression = Regex::new(pattern).map_err(|_| unknown())?;
            patterns.push(Pattern { expression, line_ends: pattern.contains(r"\s*[\r\n]+") });
        }
        Ok(Self { patterns, whole_words: rule.whole_words, begin: rule.begin })
    }

    /// The words, which together are the text.
    pub(crate) fn words<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut words = vec![text];
        for pattern in &self.patterns {
            let mut parts = Vec::with_capacity(words.len());
            for word in words {
                pattern.split(word, &mut parts);
            }
            words = parts;
        }
        words
    }
}

impl Pattern {
    /// Cuts `text` into the matches and what lies between them.
    fn split<'t>(&self, text: &'t str, parts: &mut Vec<&'t str>) {
        let mut from = 0;
        while let Some(found) = self.expression.find_at(text, from) {
            if found.start() > from {
                parts.push(&text[from..found.start()]);
            }
            let end = if found.end() == text.len() { text.len() } else { found.start() + self.kept(found.as_str()) };
            parts.push(&text[found.start()..end]);
            from = end;
        }
        if from < text.len() {
            parts.push(&text[from..]);
        }
    }

    /// How much of a match that something follows is kept: a run of white space gives its last character to
    /// the word after it, unless that character is all there is, or ends a line.
    fn kept(&self, found: &str) -> usize {
        let Some(last) = found.chars().next_back() else { return 0 };
        let before = found.len() - last.len_utf8();
        let ends_line = self.line_ends && matches!(last, '\r' | '\n');
        if before == 0 || ends_line || !found.chars().all(char::is_whitespace) { found.len() } else { before }
    }
}

#[cfg(test)]
mod tests {
    use nearside_gguf::Value;

    use super::*;

    fn words<'t>(pre: &str, text: &'t str) -> Vec<&'t str> {
        let mut metadata = Metadata::default();
        metadata.insert("tokenizer.ggml.pre".to_owned(), Value::Text(pre.to_owned()));
        Splitter::read(&metadata).unwrap().words(text)
    }

    #[test]
    fn white_space_leaves_one_space_to_the_next_word() {
        assert_eq!(words("gpt-2", "a   b \n\n c\t\td  "), ["a", "  ", " b", " \n\n", " c", "\t", "\t", "d", "  "]);
        assert_eq!(words("qwen2", "a   b \n\n c\t\td  "), ["a", "  ", " b", " \n\n", " c", "\t", "\td", "  "]);
        assert_eq!(words("gpt-2", "a\n\nb"), ["a", "\n", "\n", "b"]);
        assert_eq!(words("llama-bpe", "a\n\nb"), ["a", "\n\n", "b"]);
        assert_eq!(words("llama-bpe", "x.\n\n  1"), ["x", ".\n\n", " ", " ", "1"]);
    }

    #[test]
    fn digits_are_grouped_as_each_family_was_trained() {
        assert_eq!(words("gpt-2", "in 12345"), ["in", " 12345"]);
        assert_eq!(words("smollm", "in 123"), ["in", " ", "1", "2", "3"]);
        assert_eq!(words("qwen2", "in 123"), ["in", " ", "1", "2", "3"]);
        assert_eq!(words("llama-bpe", "in 12345"), ["in", " ", "123", "45"]);
    }

    #[test]
    fn every_rule_compiles_and_loses_nothing() {
        let text = "Übung's 3½ — don't  I'LL\r\n\t日本語🙂\u{a0}x\u{200b}y \u{0301}é\u{2003}\n";
        for name in RULES.iter().flat_map(|rule| rule.names) {
            assert_eq!(words(name, text).concat(), text, "{name}");
            assert!(words(name, "").concat().is_empty());
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known() {
        let mut metadata = Metadata::default();
        metadata.insert("tokenizer.ggml.pre".to_owned(), Value::Text("klingon".to_owned()));
        let error = Splitter::read(&metadata).err().unwrap().to_string();
        assert!(error.contains("klingon") && error.contains("qwen2"), "{error}");
    }
}
