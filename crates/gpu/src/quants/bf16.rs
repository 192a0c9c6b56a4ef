//! The upper halves of 32-bit floats: four vectors for each 32 elements, two elements a word.

use nearside_gguf::DataType;

use super::{Packing, UNIT, quant_index};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Bf16,
    elements: UNIT,
    bytes: UNIT * 2,
    words: 16,
    extras: 0,
    table: &[],
    shader: concat!(include_str!("bf16.wgsl"), include_str!("halves.wgsl")),
    levels: None,
    pack: super::f16::pack,
    unpack,
};

fn unpack(_: usize, lane: usize, quants: &[u32], _: &[u32]) -> [f32; UNIT] {
    std::array::from_fn(|element| {
        let word = quants[quant_index(0, 4, element / 8, lane) + element % 8 / 2];
        f32::from_bits(word >> (16 * (element % 2)) << 16)
    })
}
