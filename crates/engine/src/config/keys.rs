//! Metadata values of one architecture, each within its bounds.

use nearside_gguf::{Metadata, Value};

use crate::EngineError;

/// Factors beyond these make every activation zero or infinite.
const FACTORS: std::ops::RangeInclusive<f64> = 1e-9..=1e9;

/// The keys of one architecture, without its name before them.
pub(super) struct Keys<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) architecture: &'a str,
}

impl Keys<'_> {
    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub(super) fn wrong(&self, key: &str, problem: String) -> EngineError {
        EngineError::Config { key: self.full(key), problem }
    }

    /// A size from 1 to `most`.
    pub(super) fn size(&self, key: &str, most: usize) -> Result<usize, EngineError> {
        let value = self.metadata.unsigned(&self.full(key))?;
        self.checked(key, value, most)
    }

    /// The same for a key that may be absent.
    pub(super) fn size_if_present(&self, key: &str, most: usize) -> Result<Option<usize>, EngineError> {
        self.metadata.unsigned_if_present(&self.full(key))?.map(|value| self.checked(key, value, most)).transpose()
    }

    /// A size of which 0 says that there is none.
    pub(super) fn size_or_none(&self, key: &str, most: usize) -> Result<Option<usize>, EngineError> {
        match self.metadata.unsigned_if_present(&self.full(key))? {
            None | Some(0) => Ok(None),
            Some(value) => self.checked(key, value, most).map(Some),
        }
    }

    fn checked(&self, key: &str, value: u64, most: usize) -> Result<usize, EngineError> {
        if value == 0 || value > most as u64 {
            return Err(self.wrong(key, format!("{value} is not between 1 and {most}")));
        }
        Ok(value as usize)
    }

    /// A factor that neither extinguishes nor overflows what it multiplies.
    pub(super) fn factor(&self, key: &str) -> Result<f64, EngineError> {
        let value = self.metadata.float(&self.full(key))?;
        self.checked_factor(key, value)
    }

    /// The same for a key that may be absent; 0 counts as absent.
    pub(super) fn factor_if_present(&self, key: &str) -> Result<Option<f64>, EngineError> {
        match self.metadata.float_if_present(&self.full(key))? {
            None | Some(0.0) => Ok(None),
            Some(value) => self.checked_factor(key, value).map(Some),
        }
    }

    fn checked_factor(&self, key: &str, value: f64) -> Result<f64, EngineError> {
        if FACTORS.contains(&value) {
            Ok(value)
        } else {
            let (least, most) = (FACTORS.start(), FACTORS.end());
            Err(self.wrong(key, format!("{value} is not between {least:e} and {most:e}")))
        }
    }

    pub(super) fn text_if_present(&self, key: &str) -> Result<Option<&str>, EngineError> {
        Ok(self.metadata.text_if_present(&self.full(key))?)
    }

    pub(super) fn flag_if_present(&self, key: &str) -> Result<Option<bool>, EngineError> {
        Ok(self.metadata.flag_if_present(&self.full(key))?)
    }

    /// Which of the layers something holds for: a flag for each, or a period of which only the last layer
    /// is left out (0 leaves none out).
    pub(super) fn pattern(&self, key: &str, layers: usize, period: u64) -> Result<Vec<bool>, EngineError> {
        if let Some(Value::BoolArray(flags)) = self.metadata.get(&self.full(key)) {
            if flags.len() != layers {
                return Err(self.wrong(key, format!("{} flags for {layers} layers", flags.len())));
            }
            return Ok(flags.clone());
        }
        let period = self.metadata.unsigned_if_present(&self.full(key))?.unwrap_or(period);
        Ok((0..layers as u64).map(|layer| period == 0 || layer % period < period - 1).collect())
    }
}
