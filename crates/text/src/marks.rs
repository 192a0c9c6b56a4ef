//! Finding special tokens in a text.

use crate::vocabulary::{Kind, Vocabulary};

/// A stretch of text, or a token that stands in the text as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fragment<'t> {
    Text(&'t str),
    Mark(u32),
}

/// Which lengths special tokens have, by their first byte, the longest first. The vocabulary itself knows the
/// rest, so thousands of special tokens cost no more than the few lengths they share.
pub(crate) struct Marks {
    lengths: Vec<Vec<usize>>,
}

impl Marks {
    pub(crate) fn new(vocabulary: &Vocabulary) -> Self {
        let mut lengths = vec![Vec::new(); 256];
        for id in vocabulary.ids() {
            let piece = vocabulary.piece(id);
            if let (Kind::Control | Kind::Unknown | Kind::UserDefined, [first, ..]) = (vocabulary.kind(id), piece) {
                let lengths: &mut Vec<usize> = &mut lengths[usize::from(*first)];
                if let Err(place) = lengths.binary_search_by(|length| piece.len().cmp(length)) {
                    lengths.insert(place, piece.len());
                }
            }
        }
        Self { lengths }
    }

    /// Cuts the text at its marks: those that are text in one piece always, those of the conversation if `parse`.
    pub(crate) fn fragments<'t>(&self, text: &'t str, parse: bool, vocabulary: &Vocabulary) -> Vec<Fragment<'t>> {
        let mut fragments = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            let Some((id, length)) = self.mark_at(&text.as_bytes()[at..], parse, vocabulary) else {
                at += 1;
                continue;
            };
            if from < at {
                fragments.push(Fragment::Text(&text[from..at]));
            }
            fragments.push(Fragment::Mark(id));
            at += length;
            from = at;
        }
        if from < text.len() {
            fragments.push(Fragment::Text(&text[from..]));
        }
        fragments
    }

    fn mark_at(&self, rest: &[u8], parse: bool, vocabulary: &Vocabulary) -> Option<(u32, usize)> {
        self.lengths[usize::from(*rest.first()?)].iter().find_map(|&length| {
            let id = vocabulary.find(rest.get(..length)?)?;
            let wanted = match vocabulary.kind(id) {
                Kind::UserDefined => true,
                Kind::Control | Kind::Unknown => parse,
                Kind::Normal | Kind::Unused | Kind::Byte => false,
            };
            wanted.then_some((id, length))
        })
    }
}
