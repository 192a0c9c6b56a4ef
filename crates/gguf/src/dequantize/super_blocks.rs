//! Blocks of 256 elements whose parts have small integer scales of their own, the `K` formats.

use super::half;

/// 16 bytes of part scales (low half) and part minimums (high half), one for 16 elements; 64 bytes of two
/// bits; scale; scale of the minimums.
pub(super) fn q2_k(stored: &[u8; 84], values: &mut [f32; 256]) {
    let (scale, minimum) = (half(stored[80], stored[81]), half(stored[82], stored[83]));
    for (element, value) in values.iter_mut().enumerate() {
        let part = stored[element / 16];
        let step = scale * f32::from(part & 15);
        let base = minimum * f32::from(part >> 4);
        *value = step * f32::from(two_bits(&stored[16..80], element)) - base;
    }
}

/// 32 bytes of third bits; 64 bytes of two bits; 12 bytes of six-bit scales around 32, one for 16 elements;
/// scale. A third bit that is clear takes 4 away.
pub(super) fn q3_k(stored: &[u8; 110], values: &mut [f32; 256]) {
    let scale = half(stored[108], stored[109]);
    let parts = &stored[96..108];
    for (element, value) in values.iter_mut().enumerate() {
        let part = element / 16;
        let low = parts[part % 8] >> (part / 8 * 4) & 15;
        let high = parts[8 + part % 4] >> (part / 4 * 2) & 3;
        let step = scale * (f32::from(low | high << 4) - 32.0);
        let third = stored[element % 32] >> (element / 32) & 1;
        *value = step * (f32::from(two_bits(&stored[32..96], element) | third << 2) - 4.0);
    }
}

/// Scale; scale of the minimums; 12 bytes for [`scale_and_minimum`]; 128 bytes of nibbles.
pub(super) fn q4_k(stored: &[u8; 144], values: &mut [f32; 256]) {
    let (scale, minimum) = (half(stored[0], stored[1]), half(stored[2], stored[3]));
    let parts = parts(&stored[4..16]);
    for (element, value) in values.iter_mut().enumerate() {
        let (factor, offset) = scale_and_minimum(parts, element / 32);
        let code = halves(&stored[16..], element);
        *value = scale * f32::from(factor) * f32::from(code) - minimum * f32::from(offset);
    }
}

/// Scale; scale of the minimums; 12 bytes for [`scale_and_minimum`]; 32 bytes of fifth bits; 128 bytes of
/// nibbles.
pub(super) fn q5_k(stored: &[u8; 176], values: &mut [f32; 256]) {
    let (scale, minimum) = (half(stored[0], stored[1]), half(stored[2], stored[3]));
    let parts = parts(&stored[4..16]);
    for (element, value) in values.iter_mut().enumerate() {
        let (factor, offset) = scale_and_minimum(parts, element / 32);
        let fifth = stored[16 + element % 32] >> (element / 32) & 1;
        let code = halves(&stored[48..], element) | fifth << 4;
        *value = scale * f32::from(factor) * f32::from(code) - minimum * f32::from(offset);
    }
}

/// 128 bytes of nibbles; 64 bytes of two bits above them; 16 signed scales, one for 16 elements; scale. The
/// six bits count from -32.
pub(super) fn q6_k(stored: &[u8; 210], values: &mut [f32; 256]) {
    let scale = half(stored[208], stored[209]);
    for (element, value) in values.iter_mut().enumerate() {
        let (side, within) = (element / 128, element % 128);
        let low = stored[side * 64 + within % 64] >> (within / 64 * 4) & 15;
        let code = low | two_bits(&stored[128..192], element) << 4;
        let step = scale * f32::from(stored[192 + element / 16] as i8);
        *value = step * (f32::from(code) - 32.0);
    }
}

/// The six-bit scale and minimum of the `part`th 32 elements (0 to 7) of a `Q4_K` or `Q5_K` block: those of
/// the first four parts lie in the low bits of bytes 0 to 7; those of the last four have their low nibbles
/// in bytes 8 to 11 and their upper two bits in the upper bits of bytes 0 to 7.
pub fn scale_and_minimum(parts: &[u8; 12], part: usize) -> (u8, u8) {
    let place = part % 4;
    let (scale, minimum) = (parts[place], parts[place + 4]);
    if part < 4 {
        return (scale & 63, minimum & 63);
    }
    let low = parts[place + 8];
    (low & 15 | scale >> 6 << 4, low >> 4 | minimum >> 6 << 4)
}

fn parts(bytes: &[u8]) -> &[u8; 12] {
    const NONE: &[u8; 12] = &[0; 12];
    bytes.first_chunk().unwrap_or(NONE)
}

/// Nibbles of 64 elements in 32 bytes: the first 32 low, the others high.
fn halves(bytes: &[u8], element: usize) -> u8 {
    bytes[element / 64 * 32 + element % 32] >> (element % 64 / 32 * 4) & 15
}

/// Two bits of 128 elements in 32 bytes: the first 32 lowest.
fn two_bits(bytes: &[u8], element: usize) -> u8 {
    bytes[element / 128 * 32 + element % 32] >> (element % 128 / 32 * 2) & 3
}
