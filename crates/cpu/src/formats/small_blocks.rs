//! Formats with 32 weights to a block.

use crate::simd::Unit;

use super::{NIBBLES, half, spread, word};

/// Low halves of sixteen bytes are the first sixteen weights, high halves the others.
pub(super) fn nibbles(bytes: &[u8], unit: &mut Unit) {
    for index in 0..4 {
        let word = word(bytes, index);
        unit.quads[index] = word & NIBBLES;
        unit.quads[index + 4] = word >> 4 & NIBBLES;
    }
}

/// Adds the fifth bits, one for each weight.
fn fifth_bits(bits: u32, unit: &mut Unit) {
    for (index, quad) in unit.quads.iter_mut().enumerate() {
        *quad |= spread(bits >> (4 * index)) << 4;
    }
}

/// Scale, 4 bits.
pub(super) fn q4_0(block: &[u8], units: &mut [Unit]) {
    units[0].scales = [half(block, 0); 2];
    nibbles(&block[2..], &mut units[0]);
}

/// Scale, minimum, 4 bits.
pub(super) fn q4_1(block: &[u8], units: &mut [Unit]) {
    units[0].scales = [half(block, 0); 2];
    units[0].minimums = [half(block, 2); 2];
    nibbles(&block[4..], &mut units[0]);
}

/// Scale, fifth bits, 4 bits.
pub(super) fn q5_0(block: &[u8], units: &mut [Unit]) {
    units[0].scales = [half(block, 0); 2];
    nibbles(&block[6..], &mut units[0]);
    fifth_bits(word(&block[2..], 0), &mut units[0]);
}

/// Scale, minimum, fifth bits, 4 bits.
pub(super) fn q5_1(block: &[u8], units: &mut [Unit]) {
    units[0].scales = [half(block, 0); 2];
    units[0].minimums = [half(block, 2); 2];
    nibbles(&block[8..], &mut units[0]);
    fifth_bits(word(&block[4..], 0), &mut units[0]);
}

/// Scale, 8 bits, to which `BIAS`, 0 or 128, is added.
pub(super) fn q8_0<const BIAS: u8>(block: &[u8], units: &mut [Unit]) {
    units[0].scales = [half(block, 0); 2];
    for (index, quad) in units[0].quads.iter_mut().enumerate() {
        *quad = word(&block[2..], index) ^ u32::from_ne_bytes([BIAS; 4]);
    }
}
