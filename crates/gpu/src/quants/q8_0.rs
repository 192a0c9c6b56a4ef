//! Eight bits and a scale for each 32 elements.

use nearside_gguf::DataType;

use super::{LANES, Levels, Packing, UNIT, half_at, put_half, quant_index, u16_at, u32_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Q8_0,
    elements: 32,
    bytes: 34,
    words: 8,
    extras: LANES / 2,
    table: &[],
    shader: include_str!("q8_0.wgsl"),
    levels: Some(Levels { scales: 1, minima: false }),
    pack,
    unpack,
};

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    put_half(extras, lane, u16_at(block, 0));
    for word in 0..8 {
        quants[quant_index(0, 2, word / 4, lane) + word % 4] = u32_at(block, 2 + 4 * word);
    }
}

fn unpack(_: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let scale = half_at(extras, lane);
    std::array::from_fn(|element| {
        let word = quants[quant_index(0, 2, element / 16, lane) + element % 16 / 4];
        f32::from((word >> (8 * (element % 4))) as u8 as i8) * scale
    })
}
