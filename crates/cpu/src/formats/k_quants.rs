//! Formats with 256 weights to a block and scales that are themselves quantized. The products of both
//! scales are kept, rounded to half floats: an error far below that of the levels.

use crate::simd::Unit;

use super::{NIBBLES, half, narrow, word};

/// Scales and minimums of eight times 32 weights, six bits each, in twelve bytes.
fn scales_and_minimums(packed: &[u8], index: usize) -> (u8, u8) {
    if index < 4 {
        (packed[index] & 63, packed[index + 4] & 63)
    } else {
        let high = |byte: u8| byte >> 6 << 4;
        (packed[index + 4] & 15 | high(packed[index - 4]), packed[index + 4] >> 4 | high(packed[index]))
    }
}

/// Scales, minimums and 4 bits.
pub(super) fn q4_k(block: &[u8], units: &mut [Unit]) {
    let (scale, minimum) = (half(block, 0).to_f32(), half(block, 2).to_f32());
    for (index, unit) in units.iter_mut().enumerate() {
        let (step, below) = scales_and_minimums(&block[4..16], index);
        unit.scales = [narrow(scale * f32::from(step)); 2];
        unit.minimums = [narrow(-minimum * f32::from(below)); 2];
        let levels = &block[16 + index / 2 * 32..];
        for (quad, place) in unit.quads.iter_mut().enumerate().map(|(quad, place)| (word(levels, quad), place)) {
            *place = quad >> (index % 2 * 4) & NIBBLES;
        }
    }
}

/// Scales, minimums and 5 bits.
pub(super) fn q5_k(block: &[u8], units: &mut [Unit]) {
    let (scale, minimum) = (half(block, 0).to_f32(), half(block, 2).to_f32());
    for (index, unit) in units.iter_mut().enumerate() {
        let (step, below) = scales_and_minimums(&block[4..16], index);
        unit.scales = [narrow(scale * f32::from(step)); 2];
        unit.minimums = [narrow(-minimum * f32::from(below)); 2];
        let levels = &block[48 + index / 2 * 32..];
        for (quad, place) in unit.quads.iter_mut().enumerate() {
            let fifth = word(&block[16..48], quad) >> index & 0x0101_0101;
            *place = word(levels, quad) >> (index % 2 * 4) & NIBBLES | fifth << 4;
        }
    }
}

/// Sixteen signed scales and 6 bits.
pub(super) fn q6_k(block: &[u8], units: &mut [Unit]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(block, 208).to_f32();
    for (index, unit) in units.iter_mut().enumerate() {
        // Four times 32 weights share 64 bytes of low and 32 bytes of high bits.
        let (group, turn) = (index / 4, index % 4);
        let steps = [scales[2 * index], scales[2 * index + 1]];
        unit.scales = steps.map(|step| narrow(scale * f32::from(step as i8)));
        for (quad, place) in unit.quads.iter_mut().enumerate() {
            let four = word(&low[group * 64 + turn % 2 * 32..], quad) >> (turn / 2 * 4) & NIBBLES;
            let two = word(&high[group * 32..], quad) >> (2 * turn) & 0x0303_0303;
            *place = four | two << 4;
        }
    }
}

/// Sixteen scales and minimums of 4 bits each, and 2 bits.
pub(super) fn q2_k(block: &[u8], units: &mut [Unit]) {
    let (scales, levels) = (&block[..16], &block[16..80]);
    let (scale, minimum) = (half(block, 80).to_f32(), half(block, 82).to_f32());
    for (index, unit) in units.iter_mut().enumerate() {
        let both = [scales[2 * index], scales[2 * index + 1]];
        unit.scales = both.map(|both| narrow(scale * f32::from(both & 15)));
        unit.minimums = both.map(|both| narrow(-minimum * f32::from(both >> 4)));
        for (quad, place) in unit.quads.iter_mut().enumerate() {
            *place = word(&levels[index / 4 * 32..], quad) >> (index % 4 * 2) & 0x0303_0303;
        }
    }
}

/// Sixteen scales of 6 bits, and 3 bits.
pub(super) fn q3_k(block: &[u8], units: &mut [Unit]) {
    let (thirds, levels, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half(block, 108).to_f32();
    let step = |index: usize| {
        let low = packed[index % 8] >> (index / 8 * 4) & 15;
        let high = packed[8 + index % 4] >> (index / 4 * 2) & 3;
        narrow(scale * (f32::from(low | high << 4) - 32.0))
    };
    for (index, unit) in units.iter_mut().enumerate() {
        unit.scales = [step(2 * index), step(2 * index + 1)];
        for (quad, place) in unit.quads.iter_mut().enumerate() {
            let two = word(&levels[index / 4 * 32..], quad) >> (index % 4 * 2) & 0x0303_0303;
            *place = two | (word(thirds, quad) >> index & 0x0101_0101) << 2;
        }
    }
}
