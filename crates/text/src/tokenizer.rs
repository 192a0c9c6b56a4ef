//! Text to tokens and back.

use nearside_gguf::Metadata;

use crate::byte_level::{self, ByteLevel};
use crate::marks::{Fragment, Marks};
use crate::plain_pairs::PlainPairs;
use crate::sentence_piece::{self, SPACE, SentencePiece};
use crate::vocabulary::{Kind, Vocabulary};
use crate::{StreamDecoder, TextError};

/// Longer than any context; it bounds what the merging holds in memory.
const TEXT_LIMIT: usize = 16 << 20;

/// Tokens that end an answer in some family of models, whether or not a file names them as such.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end_of_turn|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "</s>",
];

/// What to do about special tokens while encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpecialTokens {
    /// Add the begin and end tokens that the file asks for.
    pub add: bool,
    /// Turn `<|im_start|>` and the like in the text into their tokens. Leave it off for text that a user wrote.
    pub parse: bool,
}

/// A model's vocabulary and its way of cutting text into it.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    model: Model,
    marks: Marks,
    begin: Option<u32>,
    end: Option<u32>,
    add_begin: bool,
    add_end: bool,
    /// Sorted.
    ends: Vec<u32>,
    /// Whether white space after a mark belongs to the mark.
    trims_after_marks: bool,
}

enum Model {
    ByteLevel(Box<ByteLevel>),
    PlainPairs(Box<PlainPairs>),
    SentencePiece(Box<SentencePiece>),
}

impl Tokenizer {
    /// Builds the tokenizer that the file describes.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self, TextError> {
        let family = metadata.text("tokenizer.ggml.model")?;
        let mut vocabulary = match family {
            "gpt2" => Vocabulary::read(metadata, byte_level::store)?,
            "llama" | "gemma4" => Vocabulary::read(metadata, sentence_piece::store)?,
            other => return Err(TextError::Model { model: other.to_owned() }),
        };
        let special = |name| special(metadata, name, vocabulary.len());
        let (begin, end, unknown) = (special("bos")?, special("eos")?, special("unknown")?);
        let mut ends: Vec<u32> = [end, special("eot")?, special("eom")?].into_iter().flatten().collect();
        // Gemma 4, known by its mark for answers of tools, has `</s>` as ordinary text.
        let ordinary = vocabulary.find(b"<|tool_response>").and_then(|_| vocabulary.find(b"</s>"));
        let named = ENDS.iter().filter_map(|text| named_end(text, &vocabulary));
        ends.extend(named.filter(|id| Some(*id) != ordinary));
        ends.sort_unstable();
        ends.dedup();
        for id in ends.iter().copied().chain(begin) {
            vocabulary.mark_control(id);
        }
        let (model, begin_by_default) = match family {
            "gpt2" => {
                let model = ByteLevel::read(metadata, &vocabulary)?;
                let begins = model.begins();
                (Model::ByteLevel(Box::new(model)), begins)
            }
            "gemma4" => (Model::PlainPairs(Box::new(PlainPairs::read(metadata, &vocabulary)?)), true),
            _ => (Model::SentencePiece(Box::new(SentencePiece::read(metadata, &vocabulary, unknown)?)), true),
        };
        let flag = |name: &str, default| Ok::<_, TextError>(metadata.flag_if_present(name)?.unwrap_or(default));
        let name = metadata.text_if_present("general.name")?.unwrap_or_default().to_lowercase();
        Ok(Self {
            marks: Marks::new(&vocabulary),
            vocabulary,
            model,
            begin,
            end,
            add_begin: flag("tokenizer.ggml.add_bos_token", begin_by_default)?,
            add_end: flag("tokenizer.ggml.add_eos_token", false)?,
            ends,
            trims_after_marks: name.contains("phi-3") || name.contains("phi3"),
        })
    }

    /// The tokens of a text.
    pub fn encode(&self, text: &str, special: SpecialTokens) -> Result<Vec<u32>, TextError> {
        if text.len() > TEXT_LIMIT {
            return Err(TextError::TooLong { bytes: text.len(), limit: TEXT_LIMIT });
        }
        let mut ids = Vec::with_capacity(text.len() / 4 + 2);
        ids.extend(self.begin.filter(|_| special.add && self.add_begin));
        let mut after_mark = true;
        let mut trim = false;
        for fragment in self.marks.fragments(text, special.parse, &self.vocabulary) {
            match fragment {
                Fragment::Mark(id) => {
                    ids.push(id);
                    after_mark = true;
                    trim = self.trims_after_marks && Some(id) != self.begin;
                }
                Fragment::Text(text) => {
                    let text = if trim { text.trim_start() } else { text };
                    if text.is_empty() {
                        continue;
                    }
                    match &self.model {
                        Model::ByteLevel(model) => model.encode(text, &self.vocabulary, &mut ids),
                        Model::PlainPairs(model) => model.encode(text, &self.vocabulary, &mut ids),
                        Model::SentencePiece(model) => model.encode(text, after_mark, &self.vocabulary, &mut ids),
                    }
                    (after_mark, trim) = (false, false);
                }
            }
        }
        ids.extend(self.end.filter(|_| special.add && self.add_end));
        Ok(ids)
    }

    /// The text of tokens. Marks of the conversation and ids that are no token have none; what is not UTF-8 is
    /// replaced; the space that encoding put in front is taken away again.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut decoder = StreamDecoder::new();
        let mut text = String::new();
        for id in ids {
            text.push_str(&decoder.push(self, *id));
        }
        text.push_str(&decoder.finish(self));
        match &self.model {
            Model::SentencePiece(model) if model.space_prefix && text.starts_with(' ') => text[1..].to_owned(),
            _ => text,
        }
    }

    /// The bytes that a token adds to a text: none for marks of the conversation and for ids that are no token.
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        if !self.vocabulary.contains(id) {
            return Vec::new();
        }
        let piece = self.vocabulary.piece(id);
        match (self.vocabulary.kind(id), &self.model) {
            (Kind::Control | Kind::Unknown | Kind::Unused, _) => Vec::new(),
            (Kind::Byte, _) => byte(piece).map_or_else(|| piece.to_vec(), |byte| vec![byte]),
            (_, Model::ByteLevel(_)) => piece.to_vec(),
            (_, Model::SentencePiece(_) | Model::PlainPairs(_)) => {
                String::from_utf8_lossy(piece).replace(SPACE, " ").into_bytes()
            }
        }
    }

    /// The text by which a token is known, of marks as well.
    pub(crate) fn text(&self, id: u32) -> &[u8] {
        if self.vocabulary.contains(id) { self.vocabulary.piece(id) } else { &[] }
    }

    /// The name of a mark of the conversation, such as `<|im_start|>`; `None` for tokens that are text.
    pub fn mark(&self, id: u32) -> Option<&str> {
        let mark = self.vocabulary.contains(id) && self.vocabulary.kind(id) == Kind::Control;
        if mark { std::str::from_utf8(self.vocabulary.piece(id)).ok() } else { None }
    }

    /// How many tokens there are.
    pub fn size(&self) -> usize {
        self.vocabulary.len()
    }

    /// Whether the token ends an answer.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// The token of exactly that text, such as `<|im_start|>`.
    pub fn id(&self, token: &str) -> Option<u32> {
        let token = token.as_bytes();
        self.marks.find(token, &self.vocabulary).or_else(|| self.vocabulary.find(token))
    }

    /// The token that begins every text, where the model has one.
    pub fn begin(&self) -> Option<u32> {
        self.begin
    }
}

/// The token that a metadata key names.
fn special(metadata: &Metadata, name: &str, tokens: usize) -> Result<Option<u32>, TextError> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    match metadata.unsigned_if_present(&key)? {
        Some(id) if id >= tokens as u64 => Err(TextError::SpecialOutOfRange { key, id, tokens }),
        id => Ok(id.map(|id| id as u32)),
    }
}

/// The token of that text, if it can only be meant as an end: words in brackets may also be ordinary text.
fn named_end(text: &str, vocabulary: &Vocabulary) -> Option<u32> {
    let id = vocabulary.find(text.as_bytes())?;
    let ordinary = vocabulary.kind(id) == Kind::Normal && !text.starts_with("<|") && text != "<end_of_turn>";
    (!ordinary).then_some(id)
}

/// The byte that a piece like `<0x0A>` stands for.
fn byte(piece: &[u8]) -> Option<u8> {
    let digits = piece.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
