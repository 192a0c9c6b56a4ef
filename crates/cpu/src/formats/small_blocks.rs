//! Formats with 32 weights to a block.

use crate::simd::Unit;

use super::{NIBBLES, half, spread, word};

/// Low halves of sixteen bytes are the first sixteen weights, high halves the others.
pub(super) fn nibbles(bytes: &[u8], quads: &mut [u32; 8]) {
    for index in 0..4 {
        let word = word(bytes, index);
        quads[index] = word & NIBBLES;
        quads[index + 4] = word >> 4 & NIBBLES;
    }
}

/// Adds the fifth bits, one for each weight.
fn fifth_bits(bits: u32, quads: &mut [u32; 8]) {
    for (index, quad) in quads.iter_mut().enumerate() {
        *quad |= spread(bits >> (4 * index)) << 4;
    }
}

/// Scale, 4 bits.
pub(super) fn q4_0(block: &[u8], unit: &mut Unit) {
    unit.scale = half(block, 0);
    nibbles(&block[2..], &mut unit.quads[0]);
}

/// Scale, minimum, 4 bits.
pub(super) fn q4_1(block: &[u8], unit: &mut Unit) {
    unit.scale = half(block, 0);
    unit.minimum = half(block, 2);
    nibbles(&block[4..], &mut unit.quads[0]);
}

/// Scale, fifth bits, 4 bits.
pub(super) fn q5_0(block: &[u8], unit: &mut Unit) {
    unit.scale = half(block, 0);
    nibbles(&block[6..], &mut unit.quads[0]);
    fifth_bits(word(&block[2..], 0), &mut unit.quads[0]);
}

/// Scale, minimum, fifth bits, 4 bits.
pub(super) fn q5_1(block: &[u8], unit: &mut Unit) {
    unit.scale = half(block, 0);
    unit.minimum = half(block, 2);
    nibbles(&block[8..], &mut unit.quads[0]);
    fifth_bits(word(&block[4..], 0), &mut unit.quads[0]);
}

/// Scale, 8 bits, to which `BIAS`, 0 or 128, is added.
pub(super) fn q8_0<const BIAS: u8>(block: &[u8], unit: &mut Unit) {
    unit.scale = half(block, 0);
    for (index, quad) in unit.quads[0].iter_mut().enumerate() {
        *quad = word(&block[2..], index) ^ u32::from_ne_bytes([BIAS; 4]);
    }
}
