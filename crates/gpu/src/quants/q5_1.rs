//! Five bits, a scale and a minimum for each 32 elements; the fifth bits are a word of their own.

use nearside_gguf::DataType;

use super::{LANES, Levels, Packing, UNIT, half_from, nibble, put_nibbles, split_nibbles, u32_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Q5_1,
    elements: 32,
    bytes: 24,
    words: 4,
    extras: 2 * LANES,
    table: &[],
    shader: concat!(include_str!("five_bits.wgsl"), include_str!("q5_1.wgsl")),
    levels: Some(Levels { scales: 1, minima: true }),
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    extras[lane] = u32_at(block, 0);
    extras[LANES + lane] = u32_at(block, 4);
    put_nibbles(&split_nibbles(&block[8..]), 0, lane, quants);
}

fn unpack(_: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let scale = half_from(extras[lane] as u16);
    let minimum = half_from((extras[lane] >> 16) as u16);
    std::array::from_fn(|element| {
        let code = nibble(element, 0, lane, quants) | (extras[LANES + lane] >> element & 1) << 4;
        code as f32 * scale + minimum
    })
}
