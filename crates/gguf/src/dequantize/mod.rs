//! Stored blocks as plain numbers: the reference that every faster reading of a format must equal.
//!
//! Each format is written out once, element by element, in f32 and in the order in which the format
//! defines its products. Scales are taken as they stand: one that is not finite gives numbers that are
//! not finite.

mod floats;
mod lattice;
mod levels;
mod small;
mod super_blocks;

pub use lattice::{IQ2_XXS_POINTS, iq2_xxs_point, iq2_xxs_signs};
pub use levels::IQ4_LEVELS;
pub use super_blocks::scale_and_minimum;

use crate::DataType;

/// Why stored bytes could not become numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DequantizeError {
    /// The bytes end inside a block.
    #[error("{length} bytes are not whole blocks of {block} bytes, which {name} is stored in; pass whole rows")]
    PartialBlock {
        /// What the format is called.
        name: &'static str,
        /// Bytes of one block.
        block: usize,
        /// Bytes given.
        length: usize,
    },
    /// There is not exactly one place for each element.
    #[error("{blocks} blocks of {name} hold {elements} elements, but there is room for {room}; pass as much room")]
    Room {
        /// What the format is called.
        name: &'static str,
        /// Blocks given.
        blocks: usize,
        /// Elements in them.
        elements: usize,
        /// Places given.
        room: usize,
    },
}

/// Turns whole stored blocks into as many numbers as they hold.
///
/// ```
/// use nearside_gguf::{DataType, dequantize};
///
/// let mut block = vec![0x00, 0x38]; // a scale of one half
/// block.extend((0..32).map(|code| code - 16i8).map(|code| code as u8));
/// let mut values = [0.0; 32];
/// dequantize(DataType::Q8_0, &block, &mut values)?;
/// assert_eq!(values[0], -8.0);
/// assert_eq!(values[31], 7.5);
/// # Ok::<(), nearside_gguf::DequantizeError>(())
/// ```
pub fn dequantize(data_type: DataType, bytes: &[u8], values: &mut [f32]) -> Result<(), DequantizeError> {
    match data_type {
        DataType::F32 => blocks(data_type, bytes, values, floats::f32),
        DataType::F16 => blocks(data_type, bytes, values, floats::f16),
        DataType::Bf16 => blocks(data_type, bytes, values, floats::bf16),
        DataType::Q4_0 => blocks(data_type, bytes, values, small::q4_0),
        DataType::Q4_1 => blocks(data_type, bytes, values, small::q4_1),
        DataType::Q5_0 => blocks(data_type, bytes, values, small::q5_0),
        DataType::Q5_1 => blocks(data_type, bytes, values, small::q5_1),
        DataType::Q8_0 => blocks(data_type, bytes, values, small::q8_0),
        DataType::Q2K => blocks(data_type, bytes, values, super_blocks::q2_k),
        DataType::Q3K => blocks(data_type, bytes, values, super_blocks::q3_k),
        DataType::Q4K => blocks(data_type, bytes, values, super_blocks::q4_k),
        DataType::Q5K => blocks(data_type, bytes, values, super_blocks::q5_k),
        DataType::Q6K => blocks(data_type, bytes, values, super_blocks::q6_k),
        DataType::Iq2Xxs => blocks(data_type, bytes, values, lattice::iq2_xxs),
        DataType::Iq4Nl => blocks(data_type, bytes, values, levels::iq4_nl),
        DataType::Iq4Xs => blocks(data_type, bytes, values, levels::iq4_xs),
    }
}

fn blocks<const BYTES: usize, const ELEMENTS: usize>(
    data_type: DataType,
    bytes: &[u8],
    values: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) -> Result<(), DequantizeError> {
    let name = data_type.name();
    let (stored, rest) = bytes.as_chunks::<BYTES>();
    if !rest.is_empty() {
        return Err(DequantizeError::PartialBlock { name, block: BYTES, length: bytes.len() });
    }
    let elements = stored.len().saturating_mul(ELEMENTS);
    if elements != values.len() {
        return Err(DequantizeError::Room { name, blocks: stored.len(), elements, room: values.len() });
    }
    let (places, _) = values.as_chunks_mut::<ELEMENTS>();
    for (stored, places) in stored.iter().zip(places) {
        block(stored, places);
    }
    Ok(())
}

/// The little-endian half float at the two bytes.
fn half(low: u8, high: u8) -> f32 {
    half::f16::from_le_bytes([low, high]).to_f32()
}

/// Four bits each: elements 0 to 15 in the low halves of 16 bytes, 16 to 31 in the high halves.
fn nibble(bytes: &[u8], element: usize) -> u8 {
    bytes[element % 16] >> (element / 16 * 4) & 15
}
