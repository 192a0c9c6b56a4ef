//! Four bits that choose among uneven levels.

use super::{half, nibble};

/// What each code of `IQ4_NL` and `IQ4_XS` stands for: denser around zero, as weights are.
pub const IQ4_LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Scale; 16 bytes of nibbles.
pub(super) fn iq4_nl(stored: &[u8; 18], values: &mut [f32; 32]) {
    let scale = half(stored[0], stored[1]);
    for (element, value) in values.iter_mut().enumerate() {
        *value = scale * level(nibble(&stored[2..], element));
    }
}

/// Scale; the upper two bits of eight part scales; their low nibbles; 16 bytes of nibbles for each part of
/// 32. The six bits of a part scale count from -32.
pub(super) fn iq4_xs(stored: &[u8; 136], values: &mut [f32; 256]) {
    let scale = half(stored[0], stored[1]);
    let (parts, _) = values.as_chunks_mut::<32>();
    for (part, values) in parts.iter_mut().enumerate() {
        let high = stored[2 + part / 4] >> (part % 4 * 2) & 3;
        let low = stored[4 + part / 2] >> (part % 2 * 4) & 15;
        let step = scale * (f32::from(low | high << 4) - 32.0);
        for (element, value) in values.iter_mut().enumerate() {
            *value = step * level(nibble(&stored[8 + 16 * part..], element));
        }
    }
}

fn level(code: u8) -> f32 {
    f32::from(IQ4_LEVELS[usize::from(code & 15)])
}
