//! Finding special tokens in a text.

use crate::vocabulary::{Kind, Vocabulary};

/// A stretch of text, or a token that stands in the text as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fragment<'t> {
    Text(&'t str),
    Mark(u32),
}

/// The special tokens, sorted by their text, and which lengths they have by their first byte, the longest
/// first: thousands of them cost no more than a search for each of the few lengths they share.
pub(crate) struct Marks {
    ids: Vec<u32>,
    lengths: Vec<Vec<usize>>,
    /// A bit for each two bytes that one of them begins with, because most of what begins like one is none.
    beginnings: Vec<u64>,
}

/// Where the bit of two bytes is.
fn place(first: u8, second: u8) -> (usize, u64) {
    let bit = usize::from(first) << 8 | usize::from(second);
    (bit / 64, 1 << (bit % 64))
}

impl Marks {
    pub(crate) fn new(vocabulary: &Vocabulary) -> Self {
        let is_mark = |id: &u32| {
            let kind = vocabulary.kind(*id);
            matches!(kind, Kind::Control | Kind::Unknown | Kind::UserDefined) && !vocabulary.piece(*id).is_empty()
        };
        let mut ids: Vec<u32> = vocabulary.ids().filter(is_mark).collect();
        ids.sort_by_key(|id| vocabulary.piece(*id));
        ids.dedup_by_key(|id| vocabulary.piece(*id));
        let mut lengths = vec![Vec::new(); 256];
        let mut beginnings = vec![0; (1 << 16) / 64];
        for id in &ids {
            let piece = vocabulary.piece(*id);
            let seconds = piece.get(1).map_or(0..=u8::MAX, |second| *second..=*second);
            for (word, bit) in seconds.map(|second| place(piece[0], second)) {
                beginnings[word] |= bit;
            }
            let lengths: &mut Vec<usize> = &mut lengths[usize::from(piece[0])];
            if let Err(place) = lengths.binary_search_by(|length| piece.len().cmp(length)) {
                lengths.insert(place, piece.len());
            }
        }
        Self { ids, lengths, beginnings }
    }

    /// The special token of exactly that text.
    pub(crate) fn find(&self, text: &[u8], vocabulary: &Vocabulary) -> Option<u32> {
        let place = self.ids.binary_search_by(|id| vocabulary.piece(*id).cmp(text)).ok()?;
        Some(self.ids[place])
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
        if let [first, second, ..] = rest {
            let (word, bit) = place(*first, *second);
            if self.beginnings[word] & bit == 0 {
                return None;
            }
        }
        self.lengths[usize::from(*rest.first()?)].iter().find_map(|&length| {
            let id = self.find(rest.get(..length)?, vocabulary)?;
            (parse || vocabulary.kind(id) == Kind::UserDefined).then_some((id, length))
        })
    }
}
