//! Five bits and a scale for each 32 elements; the fifth bits are a word of their own.

use nearside_gguf::DataType;

use super::{LANES, Levels, Packing, UNIT, half_at, nibble, put_half, put_nibbles, split_nibbles, u16_at, u32_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Q5_0,
    elements: 32,
    bytes: 22,
    words: 4,
    extras: LANES + LANES / 2,
    table: &[],
    shader: include_str!("q5_0.wgsl"),
    levels: Some(Levels { scales: 1, minima: false }),
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    extras[lane] = u32_at(block, 2);
    put_half(&mut extras[LANES..], lane, u16_at(block, 0));
    put_nibbles(&split_nibbles(&block[6..]), 0, lane, quants);
}

fn unpack(_: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let scale = half_at(&extras[LANES..], lane);
    std::array::from_fn(|element| {
        let code = nibble(element, 0, lane, quants) | (extras[lane] >> element & 1) << 4;
        code as f32 * scale - 16.0 * scale
    })
}
