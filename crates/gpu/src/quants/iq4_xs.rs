//! Four bits that number sixteen uneven levels, a six-bit scale for each 32 elements and a half for 256.
//!
//! The extras are a word of the half and the scales' upper two bits, and one of their low four.

use nearside_gguf::DataType;

use super::iq4_nl::level;
use super::{LANES, Levels, Packing, UNIT, half_from, put_nibbles, split_nibbles, u32_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Iq4Xs,
    elements: 256,
    bytes: 136,
    words: 4,
    extras: 2 * LANES,
    table: &[],
    shader: concat!(include_str!("levels.wgsl"), include_str!("iq4_xs.wgsl")),
    levels: Some(Levels { scales: 1, minima: false }),
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    extras[lane] = u32_at(block, 0);
    extras[LANES + lane] = u32_at(block, 4);
    for unit in 0..8 {
        put_nibbles(&split_nibbles(&block[8 + 16 * unit..][..16]), unit, lane, quants);
    }
}

fn unpack(unit: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let upper = extras[lane] >> (16 + 2 * unit) & 3;
    let scale = (extras[LANES + lane] >> (4 * unit) & 15 | upper << 4) as f32 - 32.0;
    let factor = half_from(extras[lane] as u16) * scale;
    std::array::from_fn(|element| level(element, unit, lane, quants) * factor)
}
