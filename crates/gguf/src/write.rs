//! Writes small GGUF files, so that tests everywhere can make the model they need.

use crate::{DataType, Value};

const DEFAULT_ALIGNMENT: usize = 32;

/// Builds a version 3 file in memory, from metadata and tensors given as raw bytes. It checks nothing:
/// what it is told is what the file says, so it writes unsound files as readily as sound ones.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    metadata: Vec<u8>,
    key_count: u64,
    table: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
    alignment: Option<usize>,
}

impl Writer {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Aligns the tensors to `alignment` bytes and says so in `general.alignment`. Call it before adding tensors.
    #[must_use]
    pub fn alignment(mut self, alignment: u32) -> Self {
        self.alignment = Some(alignment.max(1) as usize);
        self.metadata("general.alignment", Value::Unsigned(u64::from(alignment)))
    }

    /// Adds a key. Integers are written in 32 bits where they fit, else in 64; floats in 32, as other engines demand.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a value built for the call reads better without a borrow")]
    pub fn metadata(mut self, key: &str, value: Value) -> Self {
        push_text(&mut self.metadata, key);
        push_value(&mut self.metadata, &value);
        self.key_count += 1;
        self
    }

    /// Adds a tensor, its dimensions the fastest first.
    #[must_use]
    pub fn tensor(mut self, name: &str, data_type: DataType, dimensions: &[u64], bytes: &[u8]) -> Self {
        let alignment = self.alignment.unwrap_or(DEFAULT_ALIGNMENT);
        self.data.resize(self.data.len().next_multiple_of(alignment), 0);
        push_text(&mut self.table, name);
        self.table.extend((dimensions.len() as u32).to_le_bytes());
        for dimension in dimensions {
            self.table.extend(dimension.to_le_bytes());
        }
        self.table.extend(data_type.id().to_le_bytes());
        self.table.extend((self.data.len() as u64).to_le_bytes());
        self.tensor_count += 1;
        self.data.extend(bytes);
        self
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend(self.tensor_count.to_le_bytes());
        file.extend(self.key_count.to_le_bytes());
        file.extend(self.metadata);
        file.extend(self.table);
        if self.tensor_count > 0 {
            let alignment = self.alignment.unwrap_or(DEFAULT_ALIGNMENT);
            file.resize(file.len().next_multiple_of(alignment), 0);
            file.extend(self.data);
        }
        file
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn push_array(out: &mut Vec<u8>, element: u32, count: usize) {
    out.extend(9u32.to_le_bytes());
    out.extend(element.to_le_bytes());
    out.extend((count as u64).to_le_bytes());
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Unsigned(number) => {
            if let Ok(number) = u32::try_from(*number) {
                out.extend(4u32.to_le_bytes());
                out.extend(number.to_le_bytes());
            } else {
                out.extend(10u32.to_le_bytes());
                out.extend(number.to_le_bytes());
            }
        }
        Value::Signed(number) => {
            if let Ok(number) = i32::try_from(*number) {
                out.extend(5u32.to_le_bytes());
                out.extend(number.to_le_bytes());
            } else {
                out.extend(11u32.to_le_bytes());
                out.extend(number.to_le_bytes());
            }
        }
        Value::Float(number) => {
            out.extend(6u32.to_le_bytes());
            out.extend((*number as f32).to_le_bytes());
        }
        Value::Bool(flag) => {
            out.extend(7u32.to_le_bytes());
            out.push(u8::from(*flag));
        }
        Value::Text(text) => {
            out.extend(8u32.to_le_bytes());
            push_text(out, text);
        }
        Value::UnsignedArray(numbers) => {
            if let Ok(numbers) = numbers.iter().map(|number| u32::try_from(*number)).collect::<Result<Vec<_>, _>>() {
                push_array(out, 4, numbers.len());
                out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            } else {
                push_array(out, 10, numbers.len());
                out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            }
        }
        Value::SignedArray(numbers) => {
            if let Ok(numbers) = numbers.iter().map(|number| i32::try_from(*number)).collect::<Result<Vec<_>, _>>() {
                push_array(out, 5, numbers.len());
                out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            } else {
                push_array(out, 11, numbers.len());
                out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            }
        }
        Value::FloatArray(numbers) => {
            push_array(out, 6, numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        Value::BoolArray(flags) => {
            push_array(out, 7, flags.len());
            out.extend(flags.iter().map(|flag| u8::from(*flag)));
        }
        Value::TextArray(texts) => {
            push_array(out, 8, texts.len());
            for text in texts.iter() {
                push_text(out, text);
            }
        }
    }
}
