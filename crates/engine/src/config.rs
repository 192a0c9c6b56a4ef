//! A decoder's sizes, read from metadata and checked before anything is built from them.

use nearside_gguf::Metadata;

use crate::EngineError;

/// No model has more layers; the graph is built by this number.
const MAX_LAYERS: usize = 1024;
/// No model is wider; products of two widths stay far below 2⁶⁴.
const MAX_WIDTH: usize = 1 << 20;
/// No model was trained on longer texts.
const MAX_CONTEXT: usize = 1 << 24;

/// The sizes of a dense decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The file's `general.architecture`, which also prefixes its keys.
    pub architecture: String,
    /// Layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width of the feed-forward's inside.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; they divide the query heads.
    pub kv_heads: usize,
    /// Elements of one head.
    pub head_dim: usize,
    /// How many of them rotate; even.
    pub rotated: usize,
    /// The base of the rotation's frequencies.
    pub rope_base: f64,
    /// Positions are divided by this (linear scaling); 1 otherwise.
    pub rope_divisor: f64,
    /// Added under the root of the norms.
    pub epsilon: f32,
    /// Positions the model was trained for.
    pub context: usize,
}

impl DecoderConfig {
    /// Reads the keys of one architecture.
    pub fn read(metadata: &Metadata, architecture: &str) -> Result<Self, EngineError> {
        let keys = Keys { metadata, architecture };
        let layers = keys.size("block_count", MAX_LAYERS)?;
        let width = keys.size("embedding_length", MAX_WIDTH)?;
        let feed_forward = keys.size("feed_forward_length", MAX_WIDTH)?;
        let heads = keys.size("attention.head_count", width)?;
        let kv_heads = keys.size_if_present("attention.head_count_kv", heads)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(
                keys.wrong("attention.head_count_kv", format!("{kv_heads} does not divide the {heads} query heads"))
            );
        }
        let head_dim = match keys.size_if_present("attention.key_length", MAX_WIDTH)? {
            Some(length) => length,
            None if width.is_multiple_of(heads) => width / heads,
            None => {
                return Err(keys.wrong("attention.head_count", format!("{heads} does not divide the width {width}")));
            }
        };
        if head_dim.checked_mul(heads).is_none_or(|size| size > MAX_WIDTH) {
            return Err(
                keys.wrong("attention.key_length", format!("{heads} heads of {head_dim} are wider than {MAX_WIDTH}"))
            );
        }
        if let Some(value) = keys.size_if_present("attention.value_length", MAX_WIDTH)?
            && value != head_dim
        {
            return Err(keys.wrong("attention.value_length", format!("{value} differs from the key length {head_dim}")));
        }
        let rotated = keys.size_if_present("rope.dimension_count", head_dim)?.unwrap_or(head_dim);
        if !rotated.is_multiple_of(2) {
            return Err(keys.wrong("rope.dimension_count", format!("{rotated} is odd")));
        }
        Ok(Self {
            architecture: architecture.to_owned(),
            layers,
            width,
            feed_forward,
            heads,
            kv_heads,
            head_dim,
            rotated,
            rope_base: keys.positive_if_present("rope.freq_base")?.unwrap_or(10_000.0),
            rope_divisor: keys.rope_divisor()?,
            epsilon: keys.positive("attention.layer_norm_rms_epsilon")? as f32,
            context: keys.size("context_length", MAX_CONTEXT)?,
        })
    }

    /// Width of all query heads side by side.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key or value heads side by side.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// The keys of one architecture.
struct Keys<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Keys<'_> {
    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn wrong(&self, key: &str, problem: String) -> EngineError {
        EngineError::Config { key: self.full(key), problem }
    }

    fn size(&self, key: &str, most: usize) -> Result<usize, EngineError> {
        let value = self.metadata.unsigned(&self.full(key))?;
        self.checked(key, value, most)
    }

    fn size_if_present(&self, key: &str, most: usize) -> Result<Option<usize>, EngineError> {
        self.metadata.unsigned_if_present(&self.full(key))?.map(|value| self.checked(key, value, most)).transpose()
    }

    fn checked(&self, key: &str, value: u64, most: usize) -> Result<usize, EngineError> {
        if value == 0 || value > most as u64 {
            return Err(self.wrong(key, format!("{value} is not between 1 and {most}")));
        }
        Ok(value as usize)
    }

    fn positive(&self, key: &str) -> Result<f64, EngineError> {
        let value = self.metadata.float(&self.full(key))?;
        self.checked_positive(key, value)
    }

    fn positive_if_present(&self, key: &str) -> Result<Option<f64>, EngineError> {
        self.metadata.float_if_present(&self.full(key))?.map(|value| self.checked_positive(key, value)).transpose()
    }

    fn checked_positive(&self, key: &str, value: f64) -> Result<f64, EngineError> {
        if value.is_finite() && value > 0.0 {
            Ok(value)
        } else {
            Err(self.wrong(key, format!("{value} is not a positive number")))
        }
    }

    fn rope_divisor(&self) -> Result<f64, EngineError> {
        let kind = self.metadata.text_if_present(&self.full("rope.scaling.type"))?.unwrap_or("none");
        match kind {
            "none" => Ok(1.0),
            "linear" => Ok(self.positive_if_present("rope.scaling.factor")?.unwrap_or(1.0)),
            other => Err(self.wrong("rope.scaling.type", format!("`{other}` is not one of `none` and `linear`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use nearside_gguf::Value;

    use super::*;

    fn metadata(changes: &[(&str, Option<Value>)]) -> Metadata {
        let mut metadata = Metadata::default();
        let sizes = [
            ("block_count", 2),
            ("embedding_length", 64),
            ("feed_forward_length", 96),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
            ("context_length", 128),
        ];
        let mut values: Vec<(&str, Value)> = sizes.iter().map(|(key, size)| (*key, Value::Unsigned(*size))).collect();
        values.push(("attention.layer_norm_rms_epsilon", Value::Float(1e-5)));
        for (key, change) in changes {
            values.retain(|(other, _)| other != key);
            values.extend(change.clone().map(|value| (*key, value)));
        }
        for (key, value) in values {
            metadata.insert(format!("llama.{key}"), value);
        }
        metadata
    }

    #[test]
    fn defaults_come_from_the_width() {
        let config = DecoderConfig::read(&metadata(&[]), "llama").expect("consistent sizes");
        assert_eq!((config.head_dim, config.rotated), (16, 16));
        assert_eq!((config.query_width(), config.kv_width()), (64, 32));
        let wide = metadata(&[("attention.key_length", Some(Value::Unsigned(32)))]);
        let config = DecoderConfig::read(&wide, "llama").expect("an own head size");
        assert_eq!(config.query_width(), 128);
    }

    #[test]
    fn impossible_sizes_are_named() {
        let cases: &[(&str, Option<Value>)] = &[
            ("block_count", None),
            ("block_count", Some(Value::Unsigned(0))),
            ("block_count", Some(Value::Unsigned(u64::MAX))),
            ("block_count", Some(Value::Text("2".to_owned()))),
            ("embedding_length", Some(Value::Unsigned(1 << 40))),
            ("embedding_length", Some(Value::Unsigned(66))),
            ("attention.head_count", Some(Value::Unsigned(0))),
            ("attention.head_count_kv", Some(Value::Unsigned(3))),
            ("attention.head_count_kv", Some(Value::Unsigned(8))),
            ("attention.key_length", Some(Value::Unsigned(1 << 19))),
            ("attention.value_length", Some(Value::Unsigned(8))),
            ("rope.dimension_count", Some(Value::Unsigned(15))),
            ("rope.dimension_count", Some(Value::Unsigned(18))),
            ("rope.freq_base", Some(Value::Float(f64::NAN))),
            ("rope.scaling.type", Some(Value::Text("yarn".to_owned()))),
            ("attention.layer_norm_rms_epsilon", Some(Value::Float(-1.0))),
            ("context_length", Some(Value::Unsigned(0))),
        ];
        for case in cases {
            let error =
                DecoderConfig::read(&metadata(std::slice::from_ref(case)), "llama").expect_err("an impossible size");
            assert!(error.to_string().contains("llama."), "{case:?}: {error}");
        }
    }
}
