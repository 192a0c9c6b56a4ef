//! 16-bit floats: four vectors for each 32 elements, two elements a word.

use nearside_gguf::DataType;

use super::{Packing, UNIT, half_from, quant_index, u16_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::F16,
    elements: UNIT,
    bytes: UNIT * 2,
    words: 16,
    extras: 0,
    table: &[],
    shader: concat!(include_str!("f16.wgsl"), include_str!("halves.wgsl")),
    levels: None,
    pack,
    unpack,
};

pub(super) fn pack(block: &[u8], lane: usize, quants: &mut [u32], _: &mut [u32]) {
    for (element, bytes) in block.chunks_exact(2).enumerate() {
        let word = &mut quants[quant_index(0, 4, element / 8, lane) + element % 8 / 2];
        *word |= u32::from(u16_at(bytes, 0)) << (16 * (element % 2));
    }
}

fn unpack(_: usize, lane: usize, quants: &[u32], _: &[u32]) -> [f32; UNIT] {
    std::array::from_fn(|element| {
        let word = quants[quant_index(0, 4, element / 8, lane) + element % 8 / 2];
        half_from((word >> (16 * (element % 2))) as u16)
    })
}
