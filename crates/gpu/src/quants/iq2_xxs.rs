//! About two bits: for each eight elements an index among 256 points and seven signs, with a four-bit
//! scale for each 32 and a half for 256.
//!
//! The points lie in front of the extras, two bits for a coordinate: half a kilobyte that stays in the
//! nearest cache. As constants of the shader, some compilers would copy them for every invocation. The
//! eighth sign makes the number of negative elements even, so it is counted instead of looked up.

use nearside_gguf::{DataType, IQ2_XXS_POINTS, iq2_xxs_point, iq2_xxs_signs};

use super::{LANES, Levels, Packing, UNIT, half_at, pair_index, put_half, u16_at, u32_at};

pub(super) const PACKING: Packing = Packing {
    data_type: DataType::Iq2Xxs,
    elements: 256,
    bytes: 66,
    words: 2,
    extras: LANES / 2,
    table: &POINTS,
    shader: include_str!("iq2_xxs.wgsl"),
    levels: Some(Levels { scales: 1, minima: false }),
    pack,
    unpack,
};

const POINTS: [u32; 128] = points();

const fn points() -> [u32; 128] {
    let mut words = [0; 128];
    let mut word = 0;
    while word < 128 {
        words[word] = IQ2_XXS_POINTS[2 * word] as u32 | (IQ2_XXS_POINTS[2 * word + 1] as u32) << 16;
        word += 1;
    }
    words
}

fn pack(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]) {
    put_half(extras, lane, u16_at(block, 0));
    for unit in 0..8 {
        let at = pair_index(unit, lane);
        quants[at] = u32_at(block, 2 + 8 * unit);
        quants[at + 1] = u32_at(block, 6 + 8 * unit);
    }
}

fn unpack(unit: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT] {
    let at = pair_index(unit, lane);
    let (indices, rest) = (quants[at], quants[at + 1]);
    let scale = half_at(extras, lane) * (0.5 + (rest >> 28) as f32) * 0.25;
    std::array::from_fn(|element| {
        let eight = element / 8;
        let magnitude = f32::from(iq2_xxs_point((indices >> (8 * eight)) as u8)[element % 8]);
        let signs = iq2_xxs_signs((rest >> (7 * eight)) as u8 & 127);
        if signs >> (element % 8) & 1 == 1 { -scale * magnitude } else { scale * magnitude }
    })
}
