//! The tokens, kept compact: one block of text and one table of ids instead of a string and a map entry each.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use nearside_gguf::{Metadata, MetadataError, Value};

use crate::TextError;

const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
const EMPTY: u32 = u32::MAX;
/// A slot holds an id in its lower bits and a part of the text's hash above them, so that most texts that are not
/// there are told apart without being read.
const ID_BITS: u32 = 24;
const ID: u32 = (1 << ID_BITS) - 1;
/// The highest id is free for [`EMPTY`].
const LIMIT: usize = ID as usize;

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A piece of text.
    Normal,
    /// What has no token.
    Unknown,
    /// A mark of the conversation, never text.
    Control,
    /// A piece of text that is never split or merged.
    UserDefined,
    /// Only there to fill the table.
    Unused,
    /// One byte.
    Byte,
}

/// Every token's text, found by id, and every id, found by text.
pub(crate) struct Vocabulary {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    slots: Vec<u32>,
    hasher: RandomState,
    /// Whether no two tokens have one text.
    distinct: bool,
}

impl Vocabulary {
    /// Reads the tokens; `store` appends a token's text as it is to be kept, and says whether merging text can
    /// lead to it.
    pub(crate) fn read(
        metadata: &Metadata,
        store: impl Fn(&str, Kind, &mut Vec<u8>) -> bool,
    ) -> Result<Self, TextError> {
        let tokens = metadata.texts(TOKENS)?;
        let length = tokens.total_bytes();
        if tokens.is_empty() || tokens.len() > LIMIT || u32::try_from(length).is_err() {
            return Err(TextError::Size { key: TOKENS, found: tokens.len(), bytes: length, limit: LIMIT });
        }
        let kinds = kinds(metadata, tokens.len())?;
        let mut bytes = Vec::with_capacity(length);
        let mut ends = Vec::with_capacity(tokens.len());
        let mut reachable = Vec::with_capacity(tokens.len());
        for (token, kind) in tokens.iter().zip(&kinds) {
            reachable.push(store(token, *kind, &mut bytes));
            ends.push(bytes.len() as u32);
        }
        bytes.shrink_to_fit();
        let slots = vec![EMPTY; (tokens.len() * 3 / 2).next_power_of_two()];
        let hasher = RandomState::default();
        let mut vocabulary = Self { bytes, ends, kinds, slots, hasher, distinct: true };
        // Where two tokens have one text, the one that merging leads to comes first, then the lower id.
        for turn in [true, false] {
            for id in vocabulary.ids() {
                if reachable[id as usize] == turn {
                    vocabulary.enter(id);
                }
            }
        }
        Ok(vocabulary)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.ends.len() as u32
    }

    /// The text of a token that exists.
    pub(crate) fn piece(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] as usize };
        &self.bytes[start..self.ends[id] as usize]
    }

    /// The kind of a token that exists.
    pub(crate) fn kind(&self, id: u32) -> Kind {
        self.kinds[id as usize]
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        (id as usize) < self.ends.len()
    }

    pub(crate) fn mark_control(&mut self, id: u32) {
        self.kinds[id as usize] = Kind::Control;
    }

    /// The token of that text.
    pub(crate) fn find(&self, text: &[u8]) -> Option<u32> {
        self.search(text).ok()
    }

    /// The same where `guess` is probably the token.
    pub(crate) fn find_near(&self, text: &[u8], guess: u32) -> Option<u32> {
        let right = self.distinct && self.contains(guess) && self.piece(guess) == text;
        if right { Some(guess) } else { self.find(text) }
    }

    /// The token of that text, or the free slot where it would be, and what would be there.
    fn search(&self, text: &[u8]) -> Result<u32, (usize, u32)> {
        let mask = self.slots.len() - 1;
        let hash = self.hasher.hash_one(text);
        let tag = (hash >> 32) as u32 & !ID;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != EMPTY {
            let id = self.slots[slot] & ID;
            if self.slots[slot] & !ID == tag && self.piece(id) == text {
                return Ok(id);
            }
            slot = (slot + 1) & mask;
        }
        Err((slot, tag))
    }

    /// The token of that text that text may become: a mark is never written by spelling it out.
    pub(crate) fn find_text(&self, text: &[u8]) -> Option<u32> {
        self.find(text).filter(|id| self.is_text(*id))
    }

    /// Whether text may become this token.
    pub(crate) fn is_text(&self, id: u32) -> bool {
        matches!(self.kind(id), Kind::Normal | Kind::UserDefined)
    }

    fn enter(&mut self, id: u32) {
        match self.search(self.piece(id)) {
            Ok(_) => self.distinct = false,
            Err((slot, tag)) => self.slots[slot] = tag | id,
        }
    }
}

fn kinds(metadata: &Metadata, tokens: usize) -> Result<Vec<Kind>, TextError> {
    let kind = |(id, number): (usize, i64)| {
        Ok(match number {
            1 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 => Kind::Unused,
            6 => Kind::Byte,
            found => return Err(TextError::TokenType { id, found }),
        })
    };
    let kinds: Vec<Kind> = match metadata.get(TOKEN_TYPES) {
        None => return Ok(vec![Kind::Normal; tokens]),
        Some(Value::SignedArray(numbers)) => numbers.iter().copied().enumerate().map(kind).collect::<Result<_, _>>()?,
        Some(Value::UnsignedArray(numbers)) => {
            let clamped = numbers.iter().map(|&number| i64::try_from(number).unwrap_or(i64::MAX));
            clamped.enumerate().map(kind).collect::<Result<_, _>>()?
        }
        Some(other) => {
            return Err(MetadataError::WrongType {
                key: TOKEN_TYPES.to_owned(),
                found: other.kind(),
                expected: "an array of integers",
            }
            .into());
        }
    };
    if kinds.len() != tokens {
        return Err(TextError::Length { key: TOKEN_TYPES, found: kinds.len(), tokens });
    }
    Ok(kinds)
}
