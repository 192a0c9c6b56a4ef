//! Blocks of 32 elements under one scale.

use super::{half, nibble};

/// Scale; 16 bytes of nibbles around 8.
pub(super) fn q4_0(stored: &[u8; 18], values: &mut [f32; 32]) {
    let scale = half(stored[0], stored[1]);
    for (element, value) in values.iter_mut().enumerate() {
        *value = scale * (f32::from(nibble(&stored[2..], element)) - 8.0);
    }
}

/// Scale; minimum; 16 bytes of nibbles.
pub(super) fn q4_1(stored: &[u8; 20], values: &mut [f32; 32]) {
    let (scale, minimum) = (half(stored[0], stored[1]), half(stored[2], stored[3]));
    for (element, value) in values.iter_mut().enumerate() {
        *value = scale * f32::from(nibble(&stored[4..], element)) + minimum;
    }
}

/// Scale; a fifth bit for each element; 16 bytes of nibbles. The five bits count from -16.
pub(super) fn q5_0(stored: &[u8; 22], values: &mut [f32; 32]) {
    let scale = half(stored[0], stored[1]);
    for (element, value) in values.iter_mut().enumerate() {
        let code = nibble(&stored[6..], element) | bit(&stored[2..6], element) << 4;
        *value = scale * (f32::from(code) - 16.0);
    }
}

/// Scale; minimum; a fifth bit for each element; 16 bytes of nibbles.
pub(super) fn q5_1(stored: &[u8; 24], values: &mut [f32; 32]) {
    let (scale, minimum) = (half(stored[0], stored[1]), half(stored[2], stored[3]));
    for (element, value) in values.iter_mut().enumerate() {
        let code = nibble(&stored[8..], element) | bit(&stored[4..8], element) << 4;
        *value = scale * f32::from(code) + minimum;
    }
}

/// Scale; 32 signed bytes.
pub(super) fn q8_0(stored: &[u8; 34], values: &mut [f32; 32]) {
    let scale = half(stored[0], stored[1]);
    for (value, code) in values.iter_mut().zip(&stored[2..]) {
        *value = scale * f32::from(*code as i8);
    }
}

fn bit(bytes: &[u8], element: usize) -> u8 {
    bytes[element / 8] >> (element % 8) & 1
}
