//! 32-bit floats: eight vectors for each 32 elements.

use nearside_gguf::DataType;

use super::{Packing, UNIT, quant_index};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::F32,
    elements: UNIT,
    bytes: UNIT * 4,
    words: 32,
    extras: 0,
    table: &[],
    shader: include_str!("f32.wgsl"),
    levels: None,
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], _: &mut [u32]) {
    for (element, bytes) in block.chunks_exact(4).enumerate() {
        quants[quant_index(0, 8, element / 4, lane) + element % 4] = super::u32_at(bytes, 0);
    }
}

fn unpack(_: usize, lane: usize, quants: &[u32], _: &[u32]) -> [f32; UNIT] {
    std::array::from_fn(|element| f32::from_bits(quants[quant_index(0, 8, element / 4, lane) + element % 4]))
}
