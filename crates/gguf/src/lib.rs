//! Reads GGUF files: bytes become a header, typed metadata and a tensor table; stored blocks become numbers.
//!
//! Model files come from the network, so hostile input is this crate's normal case: every count,
//! length, offset and product is checked before it is used, no allocation follows a number that the
//! file's own size does not bear out, and every failure is one [`GgufError`] that says what was wrong,
//! where, and what to do.
//!
//! ```
//! use nearside_gguf::{DataType, Gguf, Value, Writer};
//!
//! let bytes = Writer::new()
//!     .metadata("general.architecture", Value::Text("llama".into()))
//!     .tensor("output_norm.weight", DataType::F32, &[2], &[0; 8])
//!     .finish();
//! let file = Gguf::read(&bytes)?;
//! assert_eq!(file.metadata.text("general.architecture")?, "llama");
//! assert_eq!(file.tensor("output_norm.weight").map(|tensor| tensor.size), Some(8));
//! # Ok::<(), nearside_gguf::GgufError>(())
//! ```

use std::collections::HashMap;

mod cursor;
mod data_type;
mod dequantize;
mod error;
mod file;
mod metadata;
mod read;
mod source;
mod texts;
mod write;

pub use data_type::DataType;
pub use dequantize::{
    DequantizeError, IQ2_XXS_POINTS, IQ4_LEVELS, dequantize, iq2_xxs_point, iq2_xxs_signs, scale_and_minimum,
};
pub use error::{GgufError, MetadataError};
pub use file::FileBytes;
pub use metadata::{Metadata, Value};
pub use source::{ByteSource, SourceError};
pub use texts::Texts;
pub use write::Writer;

/// A file's table of contents.
#[derive(Debug, Clone)]
pub struct Gguf {
    /// The format's version: 2 or 3.
    pub version: u32,
    /// What the file says about itself.
    pub metadata: Metadata,
    /// Every tensor, in the file's order.
    pub tensors: Vec<TensorInfo>,
    positions: HashMap<String, usize>,
}

/// Where one tensor lies and how it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, unique in the file.
    pub name: String,
    /// How its elements are stored.
    pub data_type: DataType,
    /// Elements along each axis, the fastest first: `[columns, rows, …]`, one to four of them.
    pub dimensions: Vec<u64>,
    /// Its first byte, from the start of the file.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
}

impl TensorInfo {
    /// The length of one stored row.
    pub fn columns(&self) -> u64 {
        self.dimensions[0]
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.dimensions[1..].iter().product()
    }
}

impl Gguf {
    /// A table of contents that is already known to be sound.
    pub fn new(version: u32, metadata: Metadata, tensors: Vec<TensorInfo>) -> Self {
        let positions = tensors.iter().enumerate().map(|(position, tensor)| (tensor.name.clone(), position)).collect();
        Self { version, metadata, tensors, positions }
    }

    /// Reads and checks everything before the tensor data, and that the data lies inside the file.
    pub fn read(source: &dyn ByteSource) -> Result<Self, GgufError> {
        read::read(source)
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(*self.positions.get(name)?)
    }
}
