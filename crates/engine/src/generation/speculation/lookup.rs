//! Foresight without a model: texts repeat themselves, answers repeat prompts.

use crate::backend::TokenId;

/// Fewer tokens in common stand together by chance.
const LEAST_MATCH: usize = 2;
/// So many hardly ever do: what follows them is being copied.
const LONG_MATCH: usize = 6;
/// More tokens in common say nothing more.
const LONGEST_MATCH: usize = 8;

/// What stood behind the text's last tokens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) tokens: &'a [TokenId],
    /// Whether so much of the text is the same that it is no chance.
    pub(super) copied: bool,
}

/// What followed where the text's last tokens stood before: after the longest match, the latest of several; at most so
/// many tokens, and at least one.
pub(super) fn continuation(text: &[TokenId], most: usize) -> Option<Found<'_>> {
    let &last = text.last()?;
    let mut best = (LEAST_MATCH - 1, 0);
    for end in (LEAST_MATCH..text.len()).rev() {
        if text[end - 1] != last {
            continue;
        }
        let pairs = text[..end].iter().rev().zip(text.iter().rev());
        let length = pairs.take(LONGEST_MATCH).take_while(|(one, other)| one == other).count();
        if length > best.0 {
            best = (length, end);
            if length == LONGEST_MATCH {
                break;
            }
        }
    }
    let (length, end) = best;
    (end > 0 && most > 0)
        .then(|| Found { tokens: &text[end..text.len().min(end + most)], copied: length >= LONG_MATCH })
}

#[cfg(test)]
mod tests {
    use super::{Found, continuation};
    use crate::backend::TokenId;

    fn tokens(text: &[TokenId], most: usize) -> &[TokenId] {
        continuation(text, most).map_or(&[], |found| found.tokens)
    }

    #[test]
    fn the_longest_match_wins_and_the_latest_of_equals() {
        assert_eq!(tokens(&[1, 2, 3, 4, 1, 2], 2), [3, 4]);
        assert_eq!(tokens(&[1, 2, 3, 4, 1, 2], 9), [3, 4, 1, 2]);
        assert_eq!(tokens(&[1, 2, 5, 1, 2, 6, 1, 2], 1), [6]);
        assert_eq!(tokens(&[9, 1, 2, 5, 1, 2, 6, 9, 1, 2], 1), [5]);
    }

    #[test]
    fn what_is_new_has_no_continuation() {
        assert!(continuation(&[], 4).is_none());
        assert!(continuation(&[1], 4).is_none());
        assert!(continuation(&[1, 2, 3], 4).is_none());
        assert!(continuation(&[1, 2, 3, 2], 4).is_none(), "one token in common is chance");
        assert_eq!(tokens(&[7, 7, 7], 4), [7]);
        assert!(continuation(&[1, 2, 3, 1, 2], 0).is_none());
    }

    #[test]
    fn a_long_match_is_no_chance() {
        let text = [1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6];
        assert_eq!(continuation(&text, 1), Some(Found { tokens: &[7], copied: true }));
        assert_eq!(continuation(&text[..12], 1), Some(Found { tokens: &[6], copied: false }));
    }
}
