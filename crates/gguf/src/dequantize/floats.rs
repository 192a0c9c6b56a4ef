//! Floating-point elements, each a block of its own.

#![expect(clippy::trivially_copy_pass_by_ref, reason = "every format takes its block the same way")]

pub(super) fn f32(stored: &[u8; 4], value: &mut [f32; 1]) {
    value[0] = f32::from_le_bytes(*stored);
}

pub(super) fn f16(stored: &[u8; 2], value: &mut [f32; 1]) {
    value[0] = super::half(stored[0], stored[1]);
}

pub(super) fn bf16(stored: &[u8; 2], value: &mut [f32; 1]) {
    value[0] = f32::from_bits(u32::from(u16::from_le_bytes(*stored)) << 16);
}
