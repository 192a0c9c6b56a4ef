//! The formats as the file stores them, decoded element by element: what packing must preserve.

use nearside_gguf::DataType;

use super::{half_from, q4_k::scale_and_minimum, u16_at, u32_at};
use crate::testing::Random;

/// Decodes whole stored blocks.
pub(crate) fn decode(data_type: DataType, stored: &[u8]) -> Vec<f32> {
    stored.chunks_exact(data_type.block_bytes()).flat_map(|block| decode_block(data_type, block)).collect()
}

fn decode_block(data_type: DataType, block: &[u8]) -> Vec<f32> {
    let split = |bytes: &[u8], element: usize| i32::from(bytes[element % 16] >> (element / 16 * 4) & 15);
    match data_type {
        DataType::F32 => vec![f32::from_bits(u32_at(block, 0))],
        DataType::F16 => vec![half_from(u16_at(block, 0))],
        DataType::Q4_0 => {
            let scale = half_from(u16_at(block, 0));
            (0..32).map(|element| (split(&block[2..], element) - 8) as f32 * scale).collect()
        }
        DataType::Q4_1 => {
            let (scale, minimum) = (half_from(u16_at(block, 0)), half_from(u16_at(block, 2)));
            (0..32).map(|element| split(&block[4..], element) as f32 * scale + minimum).collect()
        }
        DataType::Q5_0 => {
            let (scale, high) = (half_from(u16_at(block, 0)), u32_at(block, 2));
            (0..32)
                .map(|element| {
                    let code = split(&block[6..], element) + if high >> element & 1 == 1 { 16 } else { 0 };
                    (code - 16) as f32 * scale
                })
                .collect()
        }
        DataType::Q8_0 => {
            let scale = half_from(u16_at(block, 0));
            block[2..].iter().map(|code| f32::from(*code as i8) * scale).collect()
        }
        DataType::Q4K => {
            let (scale, minimum) = (half_from(u16_at(block, 0)), half_from(u16_at(block, 2)));
            (0..256)
                .map(|element| {
                    let (factor, offset) = scale_and_minimum(&block[4..16], element / 32);
                    let code = block[16 + element / 64 * 32 + element % 32] >> (element % 64 / 32 * 4) & 15;
                    f32::from(code) * (scale * f32::from(factor)) - minimum * f32::from(offset)
                })
                .collect()
        }
        DataType::Q6K => {
            let scale = half_from(u16_at(block, 208));
            (0..256)
                .map(|element| {
                    let (half, within) = (element / 128, element % 128);
                    let low = block[half * 64 + within % 64] >> (within / 64 * 4) & 15;
                    let high = block[128 + half * 32 + within % 32] >> (within / 32 * 2) & 3;
                    let factor = f32::from(block[192 + element / 16] as i8);
                    (f32::from(low | high << 4) - 32.0) * (scale * factor)
                })
                .collect()
        }
        other => unreachable!("{} has no reference", other.name()),
    }
}

/// Stored rows of arbitrary codes with scales that keep the values near one.
pub(crate) fn random_rows(data_type: DataType, rows: usize, columns: usize, random: &mut Random) -> Vec<u8> {
    let mut stored = Vec::new();
    for _ in 0..rows * columns / data_type.block_elements() {
        let mut block: Vec<u8> = (0..data_type.block_bytes()).map(|_| random.next() as u8).collect();
        let mut put = |at: usize, value: f32| {
            block[at..at + 2].copy_from_slice(&half::f16::from_f32(value).to_bits().to_le_bytes());
        };
        let scale = random.float() * 0.05;
        match data_type {
            DataType::F32 => block.copy_from_slice(&scale.to_le_bytes()),
            DataType::Q4_1 => {
                put(0, scale);
                put(2, -scale * 7.0);
            }
            DataType::Q4K => {
                put(0, scale / 32.0);
                put(2, scale / 8.0);
            }
            DataType::Q6K => put(208, scale / 1024.0),
            DataType::Q8_0 => put(0, scale / 16.0),
            _ => put(0, scale),
        }
        stored.extend(block);
    }
    stored
}
