//! What can be wrong with a file.

use crate::{DataType, SourceError};

/// Why a file is not a usable GGUF file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GgufError {
    /// The bytes could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A key that the reader itself needs holds something else.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// There is nothing to read.
    #[error("not a GGUF file: it begins with nothing, the file is empty; download it again")]
    Empty,
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file: it begins with {begins}, expected \"GGUF\"; choose a file that ends in .gguf")]
    NotGguf {
        /// The first bytes, as text where they are text.
        begins: String,
    },
    /// The format's version is not one this crate reads.
    #[error(
        "GGUF version {version} (byte offset 4) is not supported, expected 2 or 3; convert the model again with a current converter"
    )]
    Version {
        /// What the file says.
        version: u32,
    },
    /// The file was written for big-endian machines.
    #[error("the file is a big-endian GGUF file (version bytes at offset 4 are reversed); get the little-endian one")]
    BigEndian,
    /// The file ends in the middle of something.
    #[error(
        "the file ends inside {what}: {needed} bytes needed at byte offset {offset}, the file has {length} bytes; it is probably truncated: download it again"
    )]
    Truncated {
        /// What was being read.
        what: String,
        /// Where it would have begun.
        offset: u64,
        /// How many bytes it would have taken.
        needed: u64,
        /// What there is.
        length: u64,
    },
    /// A count or a length is not plausible.
    #[error(
        "{what} at byte offset {offset} is {count}, at most {limit} is possible here; the file is damaged: download it again"
    )]
    Count {
        /// What is counted.
        what: String,
        /// Where the count stands.
        offset: u64,
        /// What it says.
        count: u64,
        /// What this crate accepts there.
        limit: u64,
    },
    /// The header would take more memory than any real model's.
    #[error(
        "the header needs more than {limit} bytes of memory by byte offset {offset} ({what}); the file is damaged or hostile: get it from its publisher"
    )]
    Memory {
        /// What was being read.
        what: String,
        /// Where.
        offset: u64,
        /// The bound.
        limit: u64,
    },
    /// A name is empty.
    #[error("{what} at byte offset {offset} is empty; the file is damaged: download it again")]
    EmptyName {
        /// A key's or a tensor's name.
        what: &'static str,
        /// Where its length stands.
        offset: u64,
    },
    /// A name is not UTF-8.
    #[error("{what} at byte offset {offset} is not UTF-8 (it reads {name:?}); the file is damaged: download it again")]
    NameNotText {
        /// A key's or a tensor's name.
        what: &'static str,
        /// Where its text begins.
        offset: u64,
        /// It, with what is not UTF-8 replaced.
        name: String,
    },
    /// Two values under one key.
    #[error(
        "metadata key `{key}` appears a second time at byte offset {offset}; the file is malformed: get it from its publisher"
    )]
    DuplicateKey {
        /// Which key.
        key: String,
        /// Where its second entry begins.
        offset: u64,
    },
    /// A value's type number means nothing.
    #[error(
        "metadata key `{key}` has the unknown value type {id} at byte offset {offset}, known are 0 to 12; the file is damaged or newer than this program"
    )]
    ValueType {
        /// Which key.
        key: String,
        /// The number.
        id: u32,
        /// Where it stands.
        offset: u64,
    },
    /// An array of arrays.
    #[error(
        "metadata key `{key}` holds an array of arrays (byte offset {offset}), which no known model needs; get the file from its publisher"
    )]
    NestedArray {
        /// Which key.
        key: String,
        /// Where the element type stands.
        offset: u64,
    },
    /// A boolean is neither 0 nor 1.
    #[error(
        "metadata key `{key}` holds the byte {byte} at offset {offset} where a boolean (0 or 1) belongs; the file is damaged: download it again"
    )]
    Boolean {
        /// Which key.
        key: String,
        /// What stands there.
        byte: u8,
        /// Where.
        offset: u64,
    },
    /// `general.alignment` cannot be used.
    #[error(
        "metadata key `general.alignment` is {alignment}, expected a power of two up to {limit}; the file is malformed: get it from its publisher"
    )]
    Alignment {
        /// What the file says.
        alignment: u64,
        /// The largest accepted.
        limit: u64,
    },
    /// Two tensors of one name.
    #[error(
        "tensor `{name}` appears a second time at byte offset {offset}; the file is malformed: get it from its publisher"
    )]
    DuplicateTensor {
        /// Which name.
        name: String,
        /// Where its second entry begins.
        offset: u64,
    },
    /// A tensor has no axes or too many.
    #[error(
        "tensor `{name}` has {count} dimensions (byte offset {offset}), expected 1 to 4; the file is damaged: download it again"
    )]
    DimensionCount {
        /// Which tensor.
        name: String,
        /// What the file says.
        count: u32,
        /// Where.
        offset: u64,
    },
    /// A tensor's shape multiplies to nothing, or to more than fits 64 bits.
    #[error(
        "tensor `{name}` has the impossible shape {dimensions:?} (byte offset {offset}); the file is damaged: download it again"
    )]
    Shape {
        /// Which tensor.
        name: String,
        /// What the file says.
        dimensions: Vec<u64>,
        /// Where the dimensions begin.
        offset: u64,
    },
    /// A row is not a whole number of blocks.
    #[error("tensor `{name}` has rows of {columns} elements, but {} stores them in blocks of {} (byte offset {offset}); the file is damaged: download it again", data_type.name(), data_type.block_elements())]
    PartialBlock {
        /// Which tensor.
        name: String,
        /// Elements in a row.
        columns: u64,
        /// How they are stored.
        data_type: DataType,
        /// Where the dimensions begin.
        offset: u64,
    },
    /// A tensor is stored in a way this crate does not know.
    #[error(
        "tensor `{name}` is stored as type {id} (byte offset {offset}), which is not supported; use a file quantized to one of {}",
        supported()
    )]
    DataType {
        /// Which tensor.
        name: String,
        /// The type's number.
        id: u32,
        /// Where it stands.
        offset: u64,
    },
    /// A tensor's data does not begin on a multiple of the alignment.
    #[error(
        "tensor `{name}` has the data offset {data_offset} (at byte offset {offset}), expected a multiple of {alignment}; the file is malformed: get it from its publisher"
    )]
    Unaligned {
        /// Which tensor.
        name: String,
        /// Its offset within the data.
        data_offset: u64,
        /// What it should divide by.
        alignment: u64,
        /// Where the offset stands.
        offset: u64,
    },
    /// A tensor's data lies beyond the end.
    #[error(
        "tensor `{name}` needs {size} bytes at {data_offset} after the data's start at {data_start}, the file has {length} bytes; it is probably truncated: download it again"
    )]
    BeyondEnd {
        /// Which tensor.
        name: String,
        /// Its offset within the data.
        data_offset: u64,
        /// Its length.
        size: u64,
        /// Where the data begins.
        data_start: u64,
        /// What there is.
        length: u64,
    },
    /// Two tensors share bytes.
    #[error(
        "tensors `{first}` and `{second}` overlap at byte offset {offset}; the file is malformed: get it from its publisher"
    )]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
        /// Where the other begins.
        offset: u64,
    },
}

fn supported() -> String {
    let names: Vec<_> = DataType::ALL.iter().map(|data_type| data_type.name()).collect();
    names.join(", ")
}

/// Why a metadata key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The key is not there.
    #[error("the file has no metadata key `{key}`; it is not a model this engine can run")]
    Missing {
        /// Which key.
        key: String,
    },
    /// The value is of another type.
    #[error("metadata key `{key}` holds {found}, expected {expected}")]
    WrongType {
        /// Which key.
        key: String,
        /// What there is.
        found: &'static str,
        /// What there should be.
        expected: &'static str,
    },
}
