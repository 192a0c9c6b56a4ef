//! What `/v1/embeddings` takes and answers.

use serde::{Deserialize, Serialize};

use crate::WireError;

/// Texts at once; more belong into another request.
const MOST_INPUTS: usize = 256;

/// A request for vectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingRequest {
    /// Which model; not every server compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What to make vectors of.
    pub input: EmbeddingInput,
    /// How the vectors travel; numbers when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding_format: Option<EncodingFormat>,
    /// A length to cut the vectors to, which only some models can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u64>,
    /// How tokens become one vector, an extension; the mean when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<PoolingName>,
}

/// One text or several, as text or as tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EmbeddingInput {
    /// One text.
    Text(String),
    /// Several.
    Texts(Vec<String>),
    /// One text's tokens.
    Tokens(Vec<u32>),
    /// Several texts' tokens.
    TokenLists(Vec<Vec<u32>>),
}

/// One text of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbeddingText {
    /// As text.
    Text(String),
    /// As tokens.
    Tokens(Vec<u32>),
}

/// How vectors travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// As a list of numbers.
    Float,
    /// As the base64 of little-endian 32-bit floats.
    Base64,
}

/// How tokens become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolingName {
    /// The mean of all tokens' hidden states.
    #[default]
    Mean,
    /// The last token's.
    Last,
}

impl EmbeddingRequest {
    /// Reads and checks a request.
    pub fn from_json(body: &[u8]) -> Result<Self, WireError> {
        let request: Self = serde_json::from_slice(body).map_err(|error| {
            WireError::field("input", format!("is not there, or not one text or a list of them ({error})"))
        })?;
        if request.dimensions.is_some() {
            return Err(WireError::field("dimensions", "is not supported by this server; leave it out"));
        }
        match request.texts().len() {
            0 => Err(WireError::field("input", "is empty; send at least one text")),
            count if count > MOST_INPUTS => {
                Err(WireError::field("input", format!("holds {count} texts; send at most {MOST_INPUTS} at once")))
            }
            _ => Ok(request),
        }
    }

    /// The texts, in order.
    pub fn texts(&self) -> Vec<EmbeddingText> {
        match &self.input {
            EmbeddingInput::Text(text) => vec![EmbeddingText::Text(text.clone())],
            EmbeddingInput::Texts(texts) => texts.iter().cloned().map(EmbeddingText::Text).collect(),
            EmbeddingInput::Tokens(tokens) => vec![EmbeddingText::Tokens(tokens.clone())],
            EmbeddingInput::TokenLists(lists) => lists.iter().cloned().map(EmbeddingText::Tokens).collect(),
        }
    }
}

/// The vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingList {
    /// Always `list`.
    pub object: String,
    /// One for each text, in order.
    pub data: Vec<Embedding>,
    /// Which model made them.
    pub model: String,
    /// What it took.
    pub usage: EmbeddingUsage,
}

/// One text's vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Always `embedding`.
    pub object: String,
    /// Which text's.
    pub index: usize,
    /// The vector.
    pub embedding: Vector,
}

/// A vector as it travels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Vector {
    /// As numbers.
    Numbers(Vec<f32>),
    /// As base64.
    Base64(String),
}

/// What the vectors took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingUsage {
    /// Tokens of all texts.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}

impl EmbeddingList {
    /// The vectors in order, and the tokens of all their texts.
    pub fn new(model: impl Into<String>, vectors: Vec<Vec<f32>>, format: EncodingFormat, tokens: u64) -> Self {
        let data = vectors.into_iter().enumerate().map(|(index, vector)| Embedding {
            object: "embedding".to_owned(),
            index,
            embedding: match format {
                EncodingFormat::Float => Vector::Numbers(vector),
                EncodingFormat::Base64 => Vector::Base64(base64(&vector)),
            },
        });
        Self {
            object: "list".to_owned(),
            data: data.collect(),
            model: model.into(),
            usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
        }
    }
}

fn base64(vector: &[f32]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let bits =
            part.iter().enumerate().fold(0u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
        for letter in 0..4 {
            let code = bits >> (18 - 6 * letter) & 63;
            text.push(if letter <= part.len() { char::from(LETTERS[code as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(input: &str) -> Vec<EmbeddingText> {
        EmbeddingRequest::from_json(format!(r#"{{"input": {input}}}"#).as_bytes()).expect("a sound request").texts()
    }

    #[test]
    fn every_shape_of_input_is_read() {
        let text = |text: &str| EmbeddingText::Text(text.to_owned());
        assert_eq!(texts(r#""one""#), [text("one")]);
        assert_eq!(texts(r#"["one", "two"]"#), [text("one"), text("two")]);
        assert_eq!(texts("[1, 2]"), [EmbeddingText::Tokens(vec![1, 2])]);
        assert_eq!(texts("[[1], [2, 3]]"), [EmbeddingText::Tokens(vec![1]), EmbeddingText::Tokens(vec![2, 3])]);
    }

    #[test]
    fn senseless_requests_name_their_field() {
        let many = format!(r#"{{"input": [{}"x"]}}"#, r#""x","#.repeat(MOST_INPUTS));
        let cases = ["{}", r#"{"input": 7}"#, r#"{"input": []}"#, "no json", &many];
        for body in cases {
            let error = EmbeddingRequest::from_json(body.as_bytes()).expect_err("a senseless request");
            assert_eq!((error.status(), error.body().error.param.as_deref()), (400, Some("input")), "{body}");
        }
        let error = EmbeddingRequest::from_json(br#"{"input": "x", "dimensions": 8}"#).expect_err("cannot be served");
        assert_eq!(error.body().error.param.as_deref(), Some("dimensions"));
    }

    #[test]
    fn base64_is_that_of_little_endian_floats() {
        // Computed with Python: base64.b64encode(struct.pack("<2f", 1.0, -2.5)), and of one and three floats.
        assert_eq!(base64(&[1.0]), "AACAPw==");
        assert_eq!(base64(&[1.0, -2.5]), "AACAPwAAIMA=");
        assert_eq!(base64(&[1.0, -2.5, 0.1]), "AACAPwAAIMDNzMw9");
    }
}
