//! Four bits that number sixteen uneven levels, and a scale for each 32 elements.

use nearside_gguf::{DataType, IQ4_LEVELS};

use super::{LANES, Levels, Packing, UNIT, half_at, nibble, put_half, put_nibbles, split_nibbles, u16_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Iq4Nl,
    elements: 32,
    bytes: 18,
    words: 4,
    extras: LANES / 2,
    table: &[],
    shader: concat!(include_str!("levels.wgsl"), include_str!("iq4_nl.wgsl")),
    levels: Some(Levels { scales: 1, minima: false }),
    pack,
    unpack,
};

/// The level that an element's code numbers.
pub(super) fn level(element: usize, unit: usize, lane: usize, quants: &[u32]) -> f32 {
    f32::from(IQ4_LEVELS[nibble(element, unit, lane, quants) as usize])
}

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    put_half(extras, lane, u16_at(block, 0));
    put_nibbles(&split_nibbles(&block[2..]), 0, lane, quants);
}

fn unpack(_: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let scale = half_at(extras, lane);
    std::array::from_fn(|element| level(element, 0, lane, quants) * scale)
}
