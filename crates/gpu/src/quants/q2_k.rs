//! Two bits, with a four-bit scale and minimum for each 16 elements and a pair of halves for 256.
//!
//! The extras are the halves, then the scales and minima, a byte for both of 16 elements.

use nearside_gguf::DataType;

use super::{LANES, Levels, Packing, UNIT, half_from, pair_code, put_pairs, u32_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Q2K,
    elements: 256,
    bytes: 84,
    words: 2,
    extras: 5 * LANES,
    table: &[],
    shader: include_str!("q2_k.wgsl"),
    levels: Some(Levels { scales: 2, minima: true }),
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    extras[lane] = u32_at(block, 80);
    for word in 0..4 {
        extras[(1 + word) * LANES + lane] = u32_at(block, 4 * word);
    }
    for unit in 0..8 {
        let bytes = &block[16 + unit / 4 * 32..][..32];
        put_pairs(&std::array::from_fn(|element| bytes[element] >> (2 * (unit % 4))), unit, lane, quants);
    }
}

fn unpack(unit: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let (scale, minimum) = (half_from(extras[lane] as u16), half_from((extras[lane] >> 16) as u16));
    std::array::from_fn(|element| {
        let index = unit * 2 + element / 16;
        let byte = extras[(1 + index / 4) * LANES + lane] >> (8 * (index % 4));
        let code = pair_code(element, unit, lane, quants) as f32;
        code * (scale * (byte & 15) as f32) - minimum * (byte >> 4 & 15) as f32
    })
}
