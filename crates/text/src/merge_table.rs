//! The pairs that merge, found by the two tokens, in the order in which they were learned.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use nearside_gguf::Metadata;

use crate::TextError;
use crate::vocabulary::{Kind, Vocabulary};

const MERGES: &str = "tokenizer.ggml.merges";
const EMPTY: u32 = u32::MAX;
/// A slot holds a rank in its lower bits and a part of the pair's hash above them, so that most pairs that are not there
/// are told apart without a look at the merge, which is somewhere else in memory.
const RANK_BITS: u32 = 24;
const RANK: u32 = (1 << RANK_BITS) - 1;
/// The highest rank is free for [`EMPTY`].
const LIMIT: usize = RANK as usize;

/// A merge: the tokens left and right, and what they become. Its place in the list is its rank.
type Merge = [u32; 3];

pub(crate) struct MergeTable {
    merges: Vec<Merge>,
    /// Ranks with tags, at the place that the pair's hash gives or the next free one.
    slots: Vec<u32>,
    hasher: RandomState,
}

impl MergeTable {
    /// Reads the file's merges; `store` appends a piece as the vocabulary keeps it.
    pub(crate) fn read(
        metadata: &Metadata,
        vocabulary: &Vocabulary,
        store: impl Fn(&str, Kind, &mut Vec<u8>) -> bool,
    ) -> Result<Self, TextError> {
        let merges = metadata.texts(MERGES)?;
        if merges.len() > LIMIT {
            return Err(TextError::Size {
                key: MERGES,
                found: merges.len(),
                bytes: merges.total_bytes(),
                limit: LIMIT,
            });
        }
        let slots = vec![EMPTY; (merges.len() * 3 / 2).next_power_of_two()];
        let mut table = Self { merges: Vec::with_capacity(merges.len()), slots, hasher: RandomState::default() };
        let (mut joined, mut before) = (Vec::new(), [0; 3]);
        for (index, merge) in merges.iter().enumerate() {
            // A piece may itself begin with a space where a converter left the alphabet out.
            let first = merge.chars().next().map_or(0, char::len_utf8);
            let space = merge.as_bytes()[first..].iter().position(|byte| *byte == b' ').map(|at| first + at);
            let Some((left, right)) =
                space.map(|at| (&merge[..at], &merge[at + 1..])).filter(|(_, right)| !right.is_empty())
            else {
                return Err(TextError::Merge { index, merge: merge.to_owned() });
            };
            joined.clear();
            store(left, Kind::Normal, &mut joined);
            let middle = joined.len();
            store(right, Kind::Normal, &mut joined);
            // Vocabularies list their tokens in the order in which merging made them.
            let find = |range: &[u8], guess: u32| {
                let found = vocabulary.find_near(range, guess).filter(|id| vocabulary.is_text(*id));
                found.ok_or_else(|| TextError::MergeOutOfVocabulary {
                    index,
                    piece: String::from_utf8_lossy(range).into_owned(),
                })
            };
            let (left, right) = (&joined[..middle], &joined[middle..]);
            before = [find(left, before[0])?, find(right, before[1])?, find(&joined, before[2].wrapping_add(1))?];
            table.enter(before);
        }
        Ok(table)
    }

    /// The rank of a pair of tokens, and what it becomes.
    pub(crate) fn find(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let rank = self.search(left, right).ok()?;
        Some((rank, self.merges[rank as usize][2]))
    }

    /// Adds a merge; of two for the same pair the first counts, but each has its rank.
    fn enter(&mut self, merge: Merge) {
        let rank = self.merges.len() as u32;
        if let Err((slot, tag)) = self.search(merge[0], merge[1]) {
            self.slots[slot] = tag | rank;
        }
        self.merges.push(merge);
    }

    /// The rank of a pair, or the free slot where it would be, and the tag it would have there.
    fn search(&self, left: u32, right: u32) -> Result<u32, (usize, u32)> {
        let mask = self.slots.len() - 1;
        let hash = self.hasher.hash_one((left, right));
        let tag = (hash >> 32) as u32 & !RANK;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != EMPTY {
            let rank = self.slots[slot] & RANK;
            if self.slots[slot] & !RANK == tag && self.merges[rank as usize][..2] == [left, right] {
                return Ok(rank);
            }
            slot = (slot + 1) & mask;
        }
        Err((slot, tag))
    }
}
