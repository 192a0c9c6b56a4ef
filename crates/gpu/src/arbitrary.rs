//! Arbitrary numbers and stored rows that are the same every time.

use nearside_gguf::DataType;

/// Arbitrary numbers that are the same every time.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// In [-1, 1).
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    #[cfg(test)]
    pub(crate) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
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
            DataType::Bf16 => block.copy_from_slice(&scale.to_le_bytes()[2..]),
            DataType::Q4_1 | DataType::Q5_1 => {
                put(0, scale);
                put(2, -scale * 7.0);
            }
            DataType::Q2K => {
                put(80, scale / 4.0);
                put(82, scale / 8.0);
            }
            DataType::Q3K => put(108, scale / 32.0),
            DataType::Q4K | DataType::Q5K => {
                put(0, scale / 32.0);
                put(2, scale / 8.0);
            }
            DataType::Q6K => put(208, scale / 1024.0),
            DataType::Q8_0 | DataType::Iq4Nl => put(0, scale / 16.0),
            DataType::Iq2Xxs => put(0, scale / 32.0),
            DataType::Iq4Xs => put(0, scale / 512.0),
            DataType::F16 | DataType::Q4_0 | DataType::Q5_0 => put(0, scale),
        }
        stored.extend(block);
    }
    stored
}
