//! Five bits, with a six-bit scale and minimum for each 32 elements and a pair of halves for 256.
//!
//! The extras begin as those of four bits do; then come the fifth bits, a word for each 32 elements.

use nearside_gguf::DataType;

use super::q4_k::{affine, put_scales};
use super::{LANES, Levels, Packing, UNIT, nibble, put_nibbles, u32_at};

const FIFTHS: usize = 4 * LANES;

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Q5K,
    elements: 256,
    bytes: 176,
    words: 4,
    extras: FIFTHS + 8 * LANES,
    table: &[],
    shader: concat!(include_str!("five_bits.wgsl"), include_str!("six_bit_scales.wgsl"), include_str!("q5_k.wgsl")),
    levels: Some(Levels { scales: 1, minima: true }),
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    put_scales(u32_at(block, 0), &block[4..16], lane, extras);
    let fifths = &block[16..48];
    for unit in 0..8 {
        let bytes = &block[48 + unit / 2 * 32..][..32];
        let codes: [u8; 32] = std::array::from_fn(|element| bytes[element] >> (4 * (unit % 2)) & 15);
        put_nibbles(&codes, unit, lane, quants);
        for (element, byte) in fifths.iter().enumerate() {
            extras[FIFTHS + unit * LANES + lane] |= u32::from(byte >> unit & 1) << element;
        }
    }
}

fn unpack(unit: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let (scale, offset) = affine(unit, lane, extras);
    let fifths = extras[FIFTHS + unit * LANES + lane];
    std::array::from_fn(|element| {
        (nibble(element, unit, lane, quants) | (fifths >> element & 1) << 4) as f32 * scale + offset
    })
}
