//! Six bits, with a signed scale for each 16 elements and a half for 256.
//!
//! The low four bits are the quants plane; the extras are the upper two bits (two words for each 32
//! elements), the scales (four a word) and the halves.

use nearside_gguf::DataType;

use super::{LANES, Levels, Packing, UNIT, half_at, nibble, put_half, put_nibbles, u16_at, u32_at};

const SCALES: usize = 16 * LANES;
const HALVES: usize = SCALES + 4 * LANES;

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Q6K,
    elements: 256,
    bytes: 210,
    words: 4,
    extras: HALVES + LANES / 2,
    table: &[],
    shader: include_str!("q6_k.wgsl"),
    levels: Some(Levels { scales: 2, minima: false }),
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    for unit in 0..8 {
        let (half, quarter) = (unit / 4, unit % 4);
        let low = &low[half * 64 + quarter % 2 * 32..][..32];
        let codes: [u8; 32] = std::array::from_fn(|element| low[element] >> (quarter / 2 * 4) & 15);
        put_nibbles(&codes, unit, lane, quants);
        for element in 0..32 {
            let upper = u32::from(high[half * 32 + element] >> (2 * quarter) & 3);
            extras[(unit * 2 + element / 16) * LANES + lane] |= upper << (2 * (element % 16));
        }
    }
    for word in 0..4 {
        extras[SCALES + word * LANES + lane] = u32_at(scales, 4 * word);
    }
    put_half(&mut extras[HALVES..], lane, u16_at(block, 208));
}

fn unpack(unit: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let factor = half_at(&extras[HALVES..], lane);
    std::array::from_fn(|element| {
        let index = unit * 2 + element / 16;
        let scale = (extras[SCALES + index / 4 * LANES + lane] >> (8 * (index % 4))) as u8 as i8;
        let upper = extras[index * LANES + lane] >> (2 * (element % 16)) & 3;
        let code = (nibble(element, unit, lane, quants) | upper << 4) as f32;
        (code - 32.0) * (factor * f32::from(scale))
    })
}
