//! Values put back in place of their placeholders.

use std::{collections::BTreeMap, ops::Bound};

use super::Redactions;

/// Puts the values back into one whole text.
pub fn restore(text: &str, redactions: &Redactions) -> String {
    let mut restorer = Restorer::new(redactions);
    let mut output = restorer.push(text);
    output += &restorer.finish();
    output
}

/// Puts the values back into text that comes in pieces, and holds back what may be the beginning of a placeholder.
#[derive(Clone, Debug)]
pub struct Restorer {
    values: BTreeMap<String, String>,
    longest: usize,
    held: String,
}

impl Restorer {
    /// A restorer of these redactions.
    pub fn new(redactions: &Redactions) -> Self {
        let values: BTreeMap<_, _> =
            redactions.entries.iter().map(|entry| (entry.placeholder.clone(), entry.value.clone())).collect();
        let longest = values.keys().map(String::len).max().unwrap_or(0);
        Self { values, longest, held: String::new() }
    }

    /// Takes the next piece and gives all text that is now certain.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let mut output = String::with_capacity(self.held.len());
        let mut done = 0;
        while let Some(bracket) = self.held[done..].find('[') {
            output.push_str(&self.held[done..done + bracket]);
            done += bracket;
            let rest = &self.held[done..];
            match self.look_up(rest) {
                Found::Value { placeholder, value } => {
                    output.push_str(value);
                    done += placeholder;
                }
                Found::Beginning => {
                    self.held.drain(..done);
                    return output;
                }
                Found::Nothing => {
                    output.push('[');
                    done += 1;
                }
            }
        }
        output.push_str(&self.held[done..]);
        self.held.clear();
        output
    }

    /// What was held back, when no more comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    fn look_up(&self, rest: &str) -> Found<'_> {
        let end = rest[..rest.floor_char_boundary(self.longest)].find("]]").map(|end| end + 2);
        if let Some((placeholder, value)) = end.and_then(|end| self.values.get_key_value(&rest[..end])) {
            return Found::Value { placeholder: placeholder.len(), value };
        }
        // The keys are sorted, so the first one not before `rest` is the only one to look at.
        let next = self.values.range::<str, _>((Bound::Included(rest), Bound::Unbounded)).next();
        if next.is_some_and(|(key, _)| key.starts_with(rest)) { Found::Beginning } else { Found::Nothing }
    }
}

enum Found<'a> {
    Value { placeholder: usize, value: &'a str },
    Beginning,
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, redact};
    use super::*;

    #[test]
    fn every_split_restores_the_same_text_and_nothing_is_held_longer_than_needed() {
        let (_, redactions) = redact("a@example.org 10.0.0.1", &Kind::ALL);
        let text = "To [[EMAIL_1]], [[EMAIL_9]], [x], [[IP_1]][[ é [[EMAIL_1]] [[IP_";
        let whole = "To a@example.org, [[EMAIL_9]], [x], 10.0.0.1[[ é a@example.org [[IP_";
        for first in (0..=text.len()).filter(|&at| text.is_char_boundary(at)) {
            for second in (first..=text.len()).filter(|&at| text.is_char_boundary(at)) {
                let mut restorer = Restorer::new(&redactions);
                let mut output = restorer.push(&text[..first]);
                output += &restorer.push(&text[first..second]);
                output += &restorer.push(&text[second..]);
                output += &restorer.finish();
                assert_eq!(output, whole);
            }
        }
        let mut restorer = Restorer::new(&redactions);
        assert_eq!(restorer.push("a [[x"), "a [[x");
        assert_eq!(restorer.push("b [[EM"), "b ");
        assert_eq!(restorer.push("PTY]]"), "[[EMPTY]]");
    }

    #[test]
    fn a_value_is_not_searched_again() {
        let (sent, redactions) = redact("[[EMAIL_1]] a@example.org", &Kind::ALL);
        assert_eq!(restore(&sent, &redactions), "[[EMAIL_1]] a@example.org");
    }
}
