//! Bytes to table.

use std::collections::HashSet;

use crate::cursor::Cursor;
use crate::{ByteSource, DataType, Gguf, GgufError, Metadata, TensorInfo, Texts, Value};

/// The format's own bound on a key.
const KEY_LIMIT: u64 = 65_535;
/// The format allows 64 bytes; a few converters write more.
const TENSOR_NAME_LIMIT: u64 = 256;
/// Chat templates and licences are the longest texts there are, far below this.
const TEXT_LIMIT: u64 = 16 << 20;
/// Vocabularies and merge lists are the longest arrays, below a million.
const ARRAY_LIMIT: u64 = 1 << 22;
/// Real files have tens of keys.
const KEY_COUNT_LIMIT: u64 = 1 << 16;
/// The largest mixtures of experts, stored unmerged, have tens of thousands.
const TENSOR_COUNT_LIMIT: u64 = 1 << 17;
const ALIGNMENT_LIMIT: u64 = 1 << 20;
const DEFAULT_ALIGNMENT: u64 = 32;
/// Few enough that what is left of the reader's window is seldom read twice.
const NUMBERS_AT_A_TIME: usize = 1 << 12;

pub(crate) fn read(source: &dyn ByteSource) -> Result<Gguf, GgufError> {
    let mut cursor = Cursor::new(source);
    let version = read_version(&mut cursor)?;
    // A tensor's entry takes at least 24 bytes and a key's at least 13, so the file's length bounds both.
    let tensor_count = cursor.count("the number of tensors", 24, TENSOR_COUNT_LIMIT)?;
    let key_count = cursor.count("the number of metadata keys", 13, KEY_COUNT_LIMIT)?;

    let metadata = read_metadata(&mut cursor, key_count)?;
    let alignment = alignment(&metadata)?;
    let entries = read_entries(&mut cursor, tensor_count, alignment)?;
    let tensors = place(entries, cursor.position(), alignment, source.len())?;
    Ok(Gguf::new(version, metadata, tensors))
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32, GgufError> {
    if cursor.remaining() == 0 {
        return Err(GgufError::Empty);
    }
    let begin = cursor.bytes(cursor.remaining().min(4) as usize, "the magic number")?;
    if begin != b"GGUF" {
        // A prefix of the magic is a file cut short, anything else is another kind of file.
        return if b"GGUF".starts_with(begin) {
            Err(cursor.truncated("the magic number", 4 - cursor.position()))
        } else {
            Err(GgufError::NotGguf { begins: format!("\"{}\"", begin.escape_ascii()) })
        };
    }
    match cursor.u32("the version")? {
        version @ (2 | 3) => Ok(version),
        version if version.swap_bytes() <= 3 && version != 0 => Err(GgufError::BigEndian),
        version => Err(GgufError::Version { version }),
    }
}

fn read_metadata(cursor: &mut Cursor<'_>, count: usize) -> Result<Metadata, GgufError> {
    let mut metadata = Metadata::default();
    for _ in 0..count {
        let offset = cursor.position();
        let key = cursor.name("a metadata key", KEY_LIMIT)?;
        if metadata.get(&key).is_some() {
            return Err(GgufError::DuplicateKey { key, offset });
        }
        let value = read_value(cursor, &key)?;
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn read_value(cursor: &mut Cursor<'_>, key: &str) -> Result<Value, GgufError> {
    let what = format!("the value of metadata key `{key}`");
    let offset = cursor.position();
    Ok(match cursor.u32(&what)? {
        9 => return read_array(cursor, key, &what),
        0 => Value::Unsigned(u64::from(cursor.u8(&what)?)),
        1 => Value::Signed(i64::from(cursor.u8(&what)? as i8)),
        2 => Value::Unsigned(u64::from(u16::from_le_bytes(cursor.array(&what)?))),
        3 => Value::Signed(i64::from(i16::from_le_bytes(cursor.array(&what)?))),
        4 => Value::Unsigned(u64::from(cursor.u32(&what)?)),
        5 => Value::Signed(i64::from(i32::from_le_bytes(cursor.array(&what)?))),
        6 => Value::Float(f64::from(f32::from_le_bytes(cursor.array(&what)?))),
        7 => Value::Bool(read_bool(cursor, key, &what)?),
        8 => Value::Text(cursor.text(&what, TEXT_LIMIT)?),
        10 => Value::Unsigned(cursor.u64(&what)?),
        11 => Value::Signed(i64::from_le_bytes(cursor.array(&what)?)),
        12 => Value::Float(f64::from_le_bytes(cursor.array(&what)?)),
        id => return Err(GgufError::ValueType { key: key.to_owned(), id, offset }),
    })
}

fn read_bool(cursor: &mut Cursor<'_>, key: &str, what: &str) -> Result<bool, GgufError> {
    let offset = cursor.position();
    match cursor.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        byte => Err(GgufError::Boolean { key: key.to_owned(), byte, offset }),
    }
}

fn read_array(cursor: &mut Cursor<'_>, key: &str, what: &str) -> Result<Value, GgufError> {
    let offset = cursor.position();
    let id = cursor.u32(what)?;
    // What one element takes in the file at least, and in memory.
    let (stored, held) = match id {
        0 | 1 => (1, 8),
        2 | 3 => (2, 8),
        4 | 5 => (4, 8),
        6 => (4, 4),
        7 => (1, 1),
        9 => return Err(GgufError::NestedArray { key: key.to_owned(), offset }),
        10 | 11 => (8, 8),
        8 | 12 => (8, 4),
        id => return Err(GgufError::ValueType { key: key.to_owned(), id, offset }),
    };
    let count = cursor.count(&format!("the length of the array `{key}`"), stored, ARRAY_LIMIT)?;
    cursor.charge(count as u64 * held, what)?;

    Ok(match id {
        0 => Value::UnsignedArray(read_numbers(cursor, count, what, |[byte]| u64::from(byte))?),
        1 => Value::SignedArray(read_numbers(cursor, count, what, |[byte]| i64::from(byte as i8))?),
        2 => Value::UnsignedArray(read_numbers(cursor, count, what, |bytes| u64::from(u16::from_le_bytes(bytes)))?),
        3 => Value::SignedArray(read_numbers(cursor, count, what, |bytes| i64::from(i16::from_le_bytes(bytes)))?),
        4 => Value::UnsignedArray(read_numbers(cursor, count, what, |bytes| u64::from(u32::from_le_bytes(bytes)))?),
        5 => Value::SignedArray(read_numbers(cursor, count, what, |bytes| i64::from(i32::from_le_bytes(bytes)))?),
        6 => Value::FloatArray(read_numbers(cursor, count, what, f32::from_le_bytes)?),
        7 => {
            let mut values = Vec::with_capacity(count);
            for _ in 0..count {
                values.push(read_bool(cursor, key, what)?);
            }
            Value::BoolArray(values)
        }
        8 => {
            let mut texts = Texts::with_capacity(count);
            for _ in 0..count {
                cursor.text_in_array(&mut texts, what, TEXT_LIMIT)?;
            }
            texts.shrink_to_fit();
            Value::TextArray(texts)
        }
        10 => Value::UnsignedArray(read_numbers(cursor, count, what, u64::from_le_bytes)?),
        11 => Value::SignedArray(read_numbers(cursor, count, what, i64::from_le_bytes)?),
        _ => Value::FloatArray(read_numbers(cursor, count, what, |bytes| f64::from_le_bytes(bytes) as f32)?),
    })
}

/// Reads `count` numbers of `N` bytes, many at a time.
fn read_numbers<const N: usize, T>(
    cursor: &mut Cursor<'_>,
    count: usize,
    what: &str,
    number: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, GgufError> {
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        let bytes = cursor.bytes((count - values.len()).min(NUMBERS_AT_A_TIME) * N, what)?;
        values.extend(bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)));
    }
    Ok(values)
}

fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    let alignment = metadata.unsigned_if_present("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > ALIGNMENT_LIMIT {
        return Err(GgufError::Alignment { alignment, limit: ALIGNMENT_LIMIT });
    }
    Ok(alignment)
}

/// Reads the table; a tensor's `offset` is still counted from the start of the data.
fn read_entries(cursor: &mut Cursor<'_>, count: usize, alignment: u64) -> Result<Vec<TensorInfo>, GgufError> {
    let mut tensors = Vec::with_capacity(count);
    let mut names = HashSet::with_capacity(count);
    for _ in 0..count {
        let offset = cursor.position();
        let name = cursor.name("a tensor's name", TENSOR_NAME_LIMIT)?;
        if !names.insert(name.clone()) {
            return Err(GgufError::DuplicateTensor { name, offset });
        }
        tensors.push(read_entry(cursor, name, alignment)?);
    }
    Ok(tensors)
}

fn read_entry(cursor: &mut Cursor<'_>, name: String, alignment: u64) -> Result<TensorInfo, GgufError> {
    let what = format!("the entry of tensor `{name}`");
    let offset = cursor.position();
    let count = cursor.u32(&what)?;
    if !(1..=4).contains(&count) {
        return Err(GgufError::DimensionCount { name, count, offset });
    }
    let shape_offset = cursor.position();
    let mut dimensions = Vec::with_capacity(count as usize);
    for _ in 0..count {
        dimensions.push(cursor.u64(&what)?);
    }
    let type_offset = cursor.position();
    let id = cursor.u32(&what)?;
    let Some(data_type) = DataType::from_id(id) else {
        return Err(GgufError::DataType { name, id, offset: type_offset });
    };
    let Some(elements) = product(&dimensions) else {
        return Err(GgufError::Shape { name, dimensions, offset: shape_offset });
    };
    let (block_elements, block_bytes) = (data_type.block_elements() as u64, data_type.block_bytes() as u64);
    if dimensions[0] % block_elements != 0 {
        return Err(GgufError::PartialBlock { name, columns: dimensions[0], data_type, offset: shape_offset });
    }
    let Some(size) = (elements / block_elements).checked_mul(block_bytes) else {
        return Err(GgufError::Shape { name, dimensions, offset: shape_offset });
    };
    let offset = cursor.position();
    let data_offset = cursor.u64(&what)?;
    if data_offset % alignment != 0 {
        return Err(GgufError::Unaligned { name, data_offset, alignment, offset });
    }
    Ok(TensorInfo { name, data_type, dimensions, offset: data_offset, size })
}

fn product(dimensions: &[u64]) -> Option<u64> {
    dimensions
        .iter()
        .try_fold(1u64, |product, &dimension| product.checked_mul(dimension))
        .filter(|&product| product > 0)
}

/// Turns offsets within the data into offsets within the file, and sees that every tensor has bytes of its own there.
fn place(
    mut tensors: Vec<TensorInfo>,
    header_end: u64,
    alignment: u64,
    length: u64,
) -> Result<Vec<TensorInfo>, GgufError> {
    let data_start = header_end.next_multiple_of(alignment);
    for tensor in &mut tensors {
        let data_offset = tensor.offset;
        let start = data_start.checked_add(data_offset);
        let end = start.and_then(|start| start.checked_add(tensor.size));
        match (start, end) {
            (Some(start), Some(end)) if end <= length => tensor.offset = start,
            _ => {
                return Err(GgufError::BeyondEnd {
                    name: tensor.name.clone(),
                    data_offset,
                    size: tensor.size,
                    data_start,
                    length,
                });
            }
        }
    }
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_unstable_by_key(|tensor| tensor.offset);
    for pair in order.windows(2) {
        if pair[0].offset + pair[0].size > pair[1].offset {
            return Err(GgufError::Overlap {
                first: pair[0].name.clone(),
                second: pair[1].name.clone(),
                offset: pair[1].offset,
            });
        }
    }
    Ok(tensors)
}
