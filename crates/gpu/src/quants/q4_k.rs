//! Four bits, with a six-bit scale and minimum for each 32 elements and a pair of halves for 256.
//!
//! The six-bit numbers are regrouped so that each is two shifts away: a word of the scales' low four
//! bits, one of the minima's, and one of everybody's upper two.

use nearside_gguf::{DataType, scale_and_minimum};

use super::{LANES, Levels, Packing, UNIT, half_from, nibble, put_nibbles, u32_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Q4K,
    elements: 256,
    bytes: 144,
    words: 4,
    extras: LANES * 4,
    table: &[],
    shader: concat!(include_str!("four_bits.wgsl"), include_str!("six_bit_scales.wgsl"), include_str!("q4_k.wgsl")),
    levels: Some(Levels { scales: 1, minima: true }),
    pack,
    unpack,
};

/// Puts the halves and the regrouped six-bit numbers into the first four rows of words.
pub(super) fn put_scales(halves: u32, bytes: &[u8], lane: usize, extras: &mut [u32]) {
    extras[lane] = halves;
    let Some(bytes) = bytes.first_chunk() else { return };
    for index in 0..8 {
        let (scale, minimum) = scale_and_minimum(bytes, index);
        extras[LANES + lane] |= u32::from(scale & 15) << (4 * index);
        extras[2 * LANES + lane] |= u32::from(minimum & 15) << (4 * index);
        extras[3 * LANES + lane] |= u32::from(scale >> 4) << (2 * index) | u32::from(minimum >> 4) << (16 + 2 * index);
    }
}

/// The factor and the offset of 32 elements.
pub(super) fn affine(unit: usize, lane: usize, extras: &[u32]) -> (f32, f32) {
    let upper = extras[3 * LANES + lane] >> (2 * unit);
    let scale = extras[LANES + lane] >> (4 * unit) & 15 | (upper & 3) << 4;
    let minimum = extras[2 * LANES + lane] >> (4 * unit) & 15 | (upper >> 16 & 3) << 4;
    let halves = extras[lane];
    (half_from(halves as u16) * scale as f32, -half_from((halves >> 16) as u16) * minimum as f32)
}

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    put_scales(u32_at(block, 0), &block[4..16], lane, extras);
    for unit in 0..8 {
        let bytes = &block[16 + unit / 2 * 32..][..32];
        let codes: [u8; 32] = std::array::from_fn(|element| bytes[element] >> (4 * (unit % 2)) & 15);
        put_nibbles(&codes, unit, lane, quants);
    }
}

fn unpack(unit: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let (scale, offset) = affine(unit, lane, extras);
    std::array::from_fn(|element| nibble(element, unit, lane, quants) as f32 * scale + offset)
}
