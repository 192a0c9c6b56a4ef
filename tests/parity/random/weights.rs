//! Random weights in every storage format.

use half::f16;
use nearside_gguf::DataType;

/// A sequence that is the same on every machine.
pub(super) struct Random(u64);

impl Random {
    /// The sequence that belongs to a name.
    pub(super) fn new(name: &str) -> Self {
        let fold = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
    }

    fn next(&mut self) -> u64 {
        // A Weyl sequence through a mixing function (splitmix64).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 32) % end
    }

    /// A number from -1 to 1.
    fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// Numbers around `base`.
pub(super) fn vector(random: &mut Random, length: u64, base: f32, spread: f32) -> Vec<u8> {
    (0..length).flat_map(|_| (base + spread * random.signed()).to_le_bytes()).collect()
}

/// Numbers in equal steps from `first` to `last`.
pub(super) fn ramp(first: f32, last: f32, length: u64) -> Vec<u8> {
    let step = (last - first) / (length - 1) as f32;
    (0..length).flat_map(|index| (first + step * index as f32).to_le_bytes()).collect()
}

/// A matrix whose products with inputs around 1 are a little larger than they, so that scores of
/// attention differ enough to tell one position from another.
pub(super) fn matrix(random: &mut Random, format: DataType, columns: u64, rows: u64) -> Vec<u8> {
    let deviation = 1.5 / (columns as f32).sqrt();
    let elements = columns * rows;
    // An even spread from -1 to 1 deviates by the root of a third.
    let mut plain = || random.signed() * deviation * 3f32.sqrt();
    match format {
        DataType::F32 => (0..elements).flat_map(|_| plain().to_le_bytes()).collect(),
        DataType::F16 => (0..elements).flat_map(|_| f16::from_f32(plain()).to_le_bytes()).collect(),
        DataType::Bf16 => (0..elements).flat_map(|_| half::bf16::from_f32(plain()).to_le_bytes()).collect(),
        _ => blocks(random, format, deviation, elements),
    }
}

/// Any bytes are blocks of a quantized format. Only the scales are set, so that weights come out as large
/// as wanted and their mean is about zero.
fn blocks(random: &mut Random, format: DataType, deviation: f32, elements: u64) -> Vec<u8> {
    // Where the scale lies; how far weights with a scale of 1 deviate; where the offset lies, and how many
    // scales it is.
    let (scale, spread, offset): (usize, f32, Option<(usize, f32)>) = match format {
        DataType::Q4_0 => (0, 4.6, None),
        DataType::Q4_1 => (0, 4.6, Some((2, -7.5))),
        DataType::Q5_0 => (0, 9.2, None),
        DataType::Q5_1 => (0, 9.2, Some((2, -15.5))),
        DataType::Q8_0 => (0, 74.0, None),
        DataType::Q2K => (80, 14.0, Some((82, 1.5))),
        DataType::Q3K => (108, 43.0, None),
        DataType::Q4K => (0, 258.0, Some((2, 7.5))),
        DataType::Q5K => (0, 530.0, Some((2, 15.5))),
        DataType::Q6K => (208, 1370.0, None),
        DataType::Iq2Xxs => (0, 52.0, None),
        DataType::Iq4Nl => (0, 70.0, None),
        DataType::Iq4Xs => (0, 1300.0, None),
        DataType::F32 | DataType::F16 | DataType::Bf16 => (0, 1.0, None),
    };
    let count = elements as usize / format.block_elements();
    let mut bytes = vec![0; count * format.block_bytes()];
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        for byte in block.iter_mut() {
            *byte = random.below(256) as u8;
        }
        let unit = deviation / spread;
        let mut set = |place: usize, value: f32| {
            block[place..place + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
        };
        set(scale, unit);
        if let Some((place, scales)) = offset {
            set(place, unit * scales);
        }
    }
    bytes
}
