//! Three bits, with a six-bit scale for each 16 elements and a half for 256.
//!
//! The quants are the lower two bits. The extras are the third bits (a word for each 32 elements), the
//! scales regrouped as two words of their low four bits and one of their upper two, and the halves.

use nearside_gguf::DataType;

use super::{LANES, Levels, Packing, UNIT, half_at, pair_code, put_half, put_pairs, u16_at};

const SCALES: usize = 8 * LANES;
const HALVES: usize = SCALES + 3 * LANES;

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Q3K,
    elements: 256,
    bytes: 110,
    words: 2,
    extras: HALVES + LANES / 2,
    table: &[],
    shader: include_str!("q3_k.wgsl"),
    levels: Some(Levels { scales: 2, minima: false }),
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    let (thirds, codes, scales) = (&block[..32], &block[32..96], &block[96..108]);
    for unit in 0..8 {
        let bytes = &codes[unit / 4 * 32..][..32];
        put_pairs(&std::array::from_fn(|element| bytes[element] >> (2 * (unit % 4))), unit, lane, quants);
        for (element, byte) in thirds.iter().enumerate() {
            extras[unit * LANES + lane] |= u32::from(byte >> unit & 1) << element;
        }
    }
    for index in 0..16 {
        let low = scales[index % 8] >> (4 * (index / 8)) & 15;
        let upper = scales[8 + index % 4] >> (2 * (index / 4)) & 3;
        extras[SCALES + index / 8 * LANES + lane] |= u32::from(low) << (4 * (index % 8));
        extras[SCALES + 2 * LANES + lane] |= u32::from(upper) << (2 * index);
    }
    put_half(&mut extras[HALVES..], lane, u16_at(block, 108));
}

fn unpack(unit: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let factor = half_at(&extras[HALVES..], lane);
    std::array::from_fn(|element| {
        let index = unit * 2 + element / 16;
        let low = extras[SCALES + index / 8 * LANES + lane] >> (4 * (index % 8)) & 15;
        let upper = extras[SCALES + 2 * LANES + lane] >> (2 * index) & 3;
        let third = extras[unit * LANES + lane] >> element & 1;
        let code = pair_code(element, unit, lane, quants) | third << 2;
        (code as f32 - 4.0) * (factor * ((low | upper << 4) as f32 - 32.0))
    })
}
