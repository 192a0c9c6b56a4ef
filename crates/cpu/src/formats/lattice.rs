//! Formats whose levels are not evenly spaced: each weight becomes an index into a table of sixteen.

use nearside_gguf::{IQ2_XXS_POINTS, IQ4_LEVELS, iq2_xxs_signs};

use crate::simd::Unit;

use super::small_blocks::nibbles;
use super::{half, word};

/// The levels of `IQ4_NL` and `IQ4_XS`.
pub(super) const NON_LINEAR: [i8; 16] = IQ4_LEVELS;

/// The levels of `IQ2_XXS`: a magnitude in the two lowest bits, and above them a sign.
pub(super) const IQ2_LEVELS: [i8; 16] = [8, 25, 43, 0, -8, -25, -43, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Scale, 4 bits.
pub(super) fn iq4_nl(block: &[u8], unit: &mut Unit) {
    unit.scale = half(block, 0);
    nibbles(&block[2..], &mut unit.quads[0]);
}

/// Scale, eight scales of 6 bits, 4 bits.
pub(super) fn iq4_xs(block: &[u8], unit: &mut Unit) {
    unit.scale = half(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (index, quads) in unit.quads.iter_mut().enumerate() {
        let low = block[4 + index / 2] >> (index % 2 * 4) & 15;
        let step = low | ((high >> (2 * index) & 3) << 4) as u8;
        unit.steps[index] = step as i8 - 32;
        nibbles(&block[8 + index * 16..], quads);
    }
}

/// What an eighth of the scale of `IQ2_XXS` is multiplied with is odd: one more than twice what is stored.
pub(super) const IQ2_FACTOR: f32 = 0.125;

/// Scale; for each 32 weights four indices of points, 28 bits of signs and a scale of 4 bits.
pub(super) fn iq2_xxs(block: &[u8], unit: &mut Unit) {
    unit.scale = half(block, 0);
    for (index, quads) in unit.quads.iter_mut().enumerate() {
        let stored = &block[2 + index * 8..];
        let rest = word(stored, 1);
        unit.steps[index] = (rest >> 28) as i8 * 2 + 1;
        for group in 0..4 {
            let point = u32::from(IQ2_XXS_POINTS[usize::from(stored[group])]);
            let signs = u32::from(iq2_xxs_signs((rest >> (7 * group)) as u8));
            for half in 0..2 {
                let byte = |place: usize| {
                    let place = half * 4 + place;
                    (point >> (2 * place) & 3) | (signs >> place & 1) << 2
                };
                quads[group * 2 + half] = byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
            }
        }
    }
}
