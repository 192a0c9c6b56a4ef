//! Formats with 256 weights to a block and scales that are themselves quantized.

use crate::simd::Unit;

use super::{NIBBLES, half, word};

/// Scales and minimums of eight times 32 weights, six bits each, in twelve bytes.
fn scales_and_minimums(packed: &[u8], unit: &mut Unit) {
    for index in 0..8 {
        let (step, below) = if index < 4 {
            (packed[index] & 63, packed[index + 4] & 63)
        } else {
            let high = |byte: u8| byte >> 6 << 4;
            (packed[index + 4] & 15 | high(packed[index - 4]), packed[index + 4] >> 4 | high(packed[index]))
        };
        unit.steps[index] = step as i8;
        unit.belows[index] = below;
    }
}

/// Scales, minimums and 4 bits.
pub(super) fn q4_k(block: &[u8], unit: &mut Unit) {
    (unit.scale, unit.minimum) = (half(block, 0), -half(block, 2));
    scales_and_minimums(&block[4..16], unit);
    for (index, quads) in unit.quads.iter_mut().enumerate() {
        let levels = &block[16 + index / 2 * 32..];
        for (quad, place) in quads.iter_mut().enumerate() {
            *place = word(levels, quad) >> (index % 2 * 4) & NIBBLES;
        }
    }
}

/// Scales, minimums and 5 bits.
pub(super) fn q5_k(block: &[u8], unit: &mut Unit) {
    (unit.scale, unit.minimum) = (half(block, 0), -half(block, 2));
    scales_and_minimums(&block[4..16], unit);
    for (index, quads) in unit.quads.iter_mut().enumerate() {
        let levels = &block[48 + index / 2 * 32..];
        for (quad, place) in quads.iter_mut().enumerate() {
            let fifth = word(&block[16..48], quad) >> index & 0x0101_0101;
            *place = word(levels, quad) >> (index % 2 * 4) & NIBBLES | fifth << 4;
        }
    }
}

/// Sixteen signed scales and 6 bits.
pub(super) fn q6_k(block: &[u8], unit: &mut Unit) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    unit.scale = half(block, 208);
    for (step, scale) in unit.steps.iter_mut().zip(scales) {
        *step = *scale as i8;
    }
    for (index, quads) in unit.quads.iter_mut().enumerate() {
        // Four times 32 weights share 64 bytes of low and 32 bytes of high bits.
        let (group, turn) = (index / 4, index % 4);
        for (quad, place) in quads.iter_mut().enumerate() {
            let four = word(&low[group * 64 + turn % 2 * 32..], quad) >> (turn / 2 * 4) & NIBBLES;
            let two = word(&high[group * 32..], quad) >> (2 * turn) & 0x0303_0303;
            *place = four | two << 4;
        }
    }
}

/// Sixteen scales and minimums of 4 bits each, and 2 bits.
pub(super) fn q2_k(block: &[u8], unit: &mut Unit) {
    let (scales, levels) = (&block[..16], &block[16..80]);
    (unit.scale, unit.minimum) = (half(block, 80), -half(block, 82));
    for (index, both) in scales.iter().enumerate() {
        unit.steps[index] = (both & 15) as i8;
        unit.belows[index] = both >> 4;
    }
    for (index, quads) in unit.quads.iter_mut().enumerate() {
        for (quad, place) in quads.iter_mut().enumerate() {
            *place = word(&levels[index / 4 * 32..], quad) >> (index % 4 * 2) & 0x0303_0303;
        }
    }
}

/// Sixteen scales of 6 bits, and 3 bits.
pub(super) fn q3_k(block: &[u8], unit: &mut Unit) {
    let (thirds, levels, packed) = (&block[..32], &block[32..96], &block[96..108]);
    unit.scale = half(block, 108);
    for (index, step) in unit.steps.iter_mut().enumerate() {
        let low = packed[index % 8] >> (index / 8 * 4) & 15;
        let high = packed[8 + index % 4] >> (index / 4 * 2) & 3;
        *step = (low | high << 4) as i8 - 32;
    }
    for (index, quads) in unit.quads.iter_mut().enumerate() {
        for (quad, place) in quads.iter_mut().enumerate() {
            let two = word(&levels[index / 4 * 32..], quad) >> (index % 4 * 2) & 0x0303_0303;
            *place = two | (word(thirds, quad) >> index & 0x0101_0101) << 2;
        }
    }
}
