//! Foresight without a model: texts repeat themselves, answers repeat prompts.

use crate::backend::TokenId;

/// Fewer tokens in common stand together by chance.
const LEAST_MATCH: usize = 2;
/// More tokens in common say nothing more.
const LONGEST_MATCH: usize = 8;

/// What followed where the text's last tokens stood before: after the longest match, the latest of several; at most so
/// many tokens.
pub(super) fn continuation(text: &[TokenId], most: usize) -> &[TokenId] {
    let Some(&last) = text.last() else { return &[] };
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
    match best {
        (_, 0) => &[],
        (_, end) => &text[end..text.len().min(end + most)],
    }
}

#[cfg(test)]
mod tests {
    use super::continuation;

    #[test]
    fn the_longest_match_wins_and_the_latest_of_equals() {
        assert_eq!(continuation(&[1, 2, 3, 4, 1, 2], 2), [3, 4]);
        assert_eq!(continuation(&[1, 2, 3, 4, 1, 2], 9), [3, 4, 1, 2]);
        assert_eq!(continuation(&[1, 2, 5, 1, 2, 6, 1, 2], 1), [6]);
        assert_eq!(continuation(&[9, 1, 2, 5, 1, 2, 6, 9, 1, 2], 1), [5]);
    }

    #[test]
    fn what_is_new_has_no_continuation() {
        assert!(continuation(&[], 4).is_empty());
        assert!(continuation(&[1], 4).is_empty());
        assert!(continuation(&[1, 2, 3], 4).is_empty());
        assert!(continuation(&[1, 2, 3, 2], 4).is_empty(), "one token in common is chance");
        assert_eq!(continuation(&[7, 7, 7], 4), [7]);
        assert!(continuation(&[1, 2, 3, 1, 2], 0).is_empty());
    }
}
