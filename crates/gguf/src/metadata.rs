//! What a file says about itself.

use std::collections::HashMap;

use crate::{MetadataError, Texts};

/// One typed value. Integers of every width become `Unsigned` or `Signed`; arrays are kept compact.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// u8, u16, u32, u64.
    Unsigned(u64),
    /// i8, i16, i32, i64.
    Signed(i64),
    /// f32, f64.
    Float(f64),
    /// bool.
    Bool(bool),
    /// UTF-8 text.
    Text(String),
    /// An array of unsigned integers.
    UnsignedArray(Vec<u64>),
    /// An array of signed integers.
    SignedArray(Vec<i64>),
    /// An array of floats.
    FloatArray(Vec<f32>),
    /// An array of booleans.
    BoolArray(Vec<bool>),
    /// An array of texts. A token's bytes need not be UTF-8; what is not is replaced.
    TextArray(Texts),
}

impl Value {
    /// The name of its type, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unsigned(_) => "an unsigned integer",
            Self::Signed(_) => "a signed integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Text(_) => "a text",
            Self::UnsignedArray(_) => "an array of unsigned integers",
            Self::SignedArray(_) => "an array of signed integers",
            Self::FloatArray(_) => "an array of floats",
            Self::BoolArray(_) => "an array of booleans",
            Self::TextArray(_) => "an array of texts",
        }
    }
}

/// A file's keys and values.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    values: HashMap<String, Value>,
}

macro_rules! typed {
    ($(#[$doc:meta])* $name:ident, $optional:ident -> $result:ty, $expected:literal, $pattern:pat => $value:expr) => {
        $(#[$doc])*
        pub fn $name(&self, key: &str) -> Result<$result, MetadataError> {
            self.$optional(key)?.ok_or_else(|| MetadataError::Missing { key: key.to_owned() })
        }

        /// The same for a key that may be absent.
        pub fn $optional(&self, key: &str) -> Result<Option<$result>, MetadataError> {
            match self.values.get(key) {
                None => Ok(None),
                Some($pattern) => Ok(Some($value)),
                Some(other) => Err(MetadataError::WrongType { key: key.to_owned(), found: other.kind(), expected: $expected }),
            }
        }
    };
}

impl Metadata {
    /// The value of a key, of any type.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Sets a value and gives back the one it replaces.
    pub fn insert(&mut self, key: String, value: Value) -> Option<Value> {
        self.values.insert(key, value)
    }

    /// All keys and values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    typed!(/// A text.
        text, text_if_present -> &str, "a text", Value::Text(text) => text.as_str());
    typed!(/// A boolean.
        flag, flag_if_present -> bool, "a boolean", Value::Bool(flag) => *flag);
    typed!(/// Texts.
        texts, texts_if_present -> &Texts, "an array of texts", Value::TextArray(texts) => texts);
    typed!(/// Floats.
        floats, floats_if_present -> &[f32], "an array of floats", Value::FloatArray(floats) => floats.as_slice());

    /// A number of at least 0.
    pub fn unsigned(&self, key: &str) -> Result<u64, MetadataError> {
        self.unsigned_if_present(key)?.ok_or_else(|| MetadataError::Missing { key: key.to_owned() })
    }

    /// The same for a key that may be absent.
    pub fn unsigned_if_present(&self, key: &str) -> Result<Option<u64>, MetadataError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(number)) => Ok(Some(*number)),
            Some(Value::Signed(number)) if *number >= 0 => Ok(Some(*number as u64)),
            Some(other) => Err(MetadataError::WrongType {
                key: key.to_owned(),
                found: other.kind(),
                expected: "an unsigned integer",
            }),
        }
    }

    /// A float, or an integer as one.
    pub fn float(&self, key: &str) -> Result<f64, MetadataError> {
        self.float_if_present(key)?.ok_or_else(|| MetadataError::Missing { key: key.to_owned() })
    }

    /// The same for a key that may be absent.
    pub fn float_if_present(&self, key: &str) -> Result<Option<f64>, MetadataError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Float(number)) => Ok(Some(*number)),
            Some(Value::Unsigned(number)) => Ok(Some(*number as f64)),
            Some(Value::Signed(number)) => Ok(Some(*number as f64)),
            Some(other) => {
                Err(MetadataError::WrongType { key: key.to_owned(), found: other.kind(), expected: "a float" })
            }
        }
    }

    /// Integers of at least 0.
    pub fn integers_if_present(&self, key: &str) -> Result<Option<Vec<u64>>, MetadataError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::UnsignedArray(numbers)) => Ok(Some(numbers.clone())),
            Some(Value::SignedArray(numbers)) if numbers.iter().all(|number| *number >= 0) => {
                Ok(Some(numbers.iter().map(|number| *number as u64).collect()))
            }
            Some(other) => Err(MetadataError::WrongType {
                key: key.to_owned(),
                found: other.kind(),
                expected: "an array of unsigned integers",
            }),
        }
    }
}
