//! Four bits, a scale and a minimum for each 32 elements.

use nearside_gguf::DataType;

use super::{LANES, Levels, Packing, UNIT, half_from, nibble, put_nibbles, split_nibbles, u32_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Q4_1,
    elements: 32,
    bytes: 20,
    words: 4,
    extras: LANES,
    table: &[],
    shader: concat!(include_str!("four_bits.wgsl"), include_str!("q4_1.wgsl")),
    levels: Some(Levels { scales: 1, minima: true }),
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    extras[lane] = u32_at(block, 0);
    put_nibbles(&split_nibbles(&block[4..]), 0, lane, quants);
}

fn unpack(_: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let scale = half_from(extras[lane] as u16);
    let minimum = half_from((extras[lane] >> 16) as u16);
    std::array::from_fn(|element| nibble(element, 0, lane, quants) as f32 * scale + minimum)
}
