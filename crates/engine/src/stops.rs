//! Finds stop texts across token borders.

/// Lets text through, except what may still become a stop text.
#[derive(Debug, Default)]
pub(crate) struct StopTexts {
    texts: Vec<String>,
    held: String,
}

/// What came of a piece of text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// This much is certain not to belong to a stop text.
    Text(String),
    /// A stop text came up; this is what stood before it.
    Stopped(String),
}

impl StopTexts {
    pub(crate) fn new(texts: Vec<String>) -> Self {
        Self { texts, held: String::new() }
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &str) -> Passed {
        self.held.push_str(piece);
        let first = self.texts.iter().filter_map(|text| self.held.find(text.as_str())).min();
        if let Some(start) = first {
            self.held.truncate(start);
            return Passed::Stopped(std::mem::take(&mut self.held));
        }
        let hold = self
            .held
            .char_indices()
            .map(|(start, _)| start)
            .find(|start| {
                let end = &self.held[*start..];
                self.texts.iter().any(|text| text.starts_with(end))
            })
            .unwrap_or(self.held.len());
        let rest = self.held.split_off(hold);
        Passed::Text(std::mem::replace(&mut self.held, rest))
    }

    /// What is still held back, now that nothing follows.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut texts = StopTexts::new(stops.iter().map(|text| (*text).to_owned()).collect());
        let mut out = String::new();
        for piece in pieces {
            match texts.push(piece) {
                Passed::Text(text) => out.push_str(&text),
                Passed::Stopped(text) => return (out + &text, true),
            }
        }
        (out + &texts.finish(), false)
    }

    #[test]
    fn a_stop_text_is_found_at_every_split() {
        let text = "naïve é END of it";
        for split in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let (head, tail) = text.split_at(split);
            assert_eq!(run(&["END"], &[head, tail]), ("naïve é ".to_owned(), true));
        }
    }

    #[test]
    fn a_false_start_is_given_back() {
        assert_eq!(run(&["###"], &["a##", "b"]), ("a##b".to_owned(), false));
        assert_eq!(run(&["###"], &["a", "##"]), ("a##".to_owned(), false));
        assert_eq!(run(&["aab"], &["a", "a", "a", "b!"]), ("a".to_owned(), true));
        assert_eq!(run(&[], &["a", "b"]), ("ab".to_owned(), false));
    }

    #[test]
    fn the_earliest_of_several_wins() {
        assert_eq!(run(&["late", "l"], &["alate"]), ("a".to_owned(), true));
    }

    #[test]
    fn nothing_certain_is_held_back() {
        let mut texts = StopTexts::new(vec!["\n\n".to_owned()]);
        assert_eq!(texts.push("one\n"), Passed::Text("one".to_owned()));
        assert_eq!(texts.push("two"), Passed::Text("\ntwo".to_owned()));
    }
}
