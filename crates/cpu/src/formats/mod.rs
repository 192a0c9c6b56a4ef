//! How each storage format of a file becomes one of the layouts that the kernels read.

mod k_quants;
mod lattice;
mod small_blocks;

use nearside_gguf::DataType;

use crate::simd::{Isa, LayoutName, Unit};

/// A storage format with 32 or 256 weights to a block.
pub(crate) struct Format {
    /// What it becomes.
    pub(crate) layout: LayoutName,
    /// What is taken from each level.
    pub(crate) offset: i32,
    /// The levels that indices stand for, if the layout has a table.
    pub(crate) table: [u8; 16],
    /// What every scale is multiplied with, a power of two.
    pub(crate) factor: f32,
    /// Reads one block of the file, which is one of the layout too.
    pub(crate) unpack: fn(&[u8], &mut Unit),
}

impl Format {
    /// How a format is laid out for an instruction set; none for those that are numbers already.
    pub(crate) fn of(data_type: DataType, isa: Isa) -> Option<Self> {
        use LayoutName as To;
        let bias = isa.byte_bias();
        let plain = |layout, offset, unpack| Some(Self { layout, offset, table: [0; 16], factor: 1.0, unpack });
        let table = |layout, levels: [i8; 16], factor, unpack| {
            let table = levels.map(|level| (level as u8).wrapping_add(bias));
            Some(Self { layout, offset: i32::from(bias), table, factor, unpack })
        };
        match data_type {
            DataType::F32 | DataType::F16 | DataType::Bf16 => None,
            DataType::Q4_0 => plain(To::Four, 8, small_blocks::q4_0),
            DataType::Q4_1 => plain(To::FourMinimum, 0, small_blocks::q4_1),
            DataType::Q5_0 => plain(To::Five, 16, small_blocks::q5_0),
            DataType::Q5_1 => plain(To::FiveMinimum, 0, small_blocks::q5_1),
            DataType::Q8_0 if bias == 0 => plain(To::Eight, 0, small_blocks::q8_0::<0>),
            DataType::Q8_0 => plain(To::Eight, 128, small_blocks::q8_0::<128>),
            DataType::Q2K => plain(To::WideTwo, 0, k_quants::q2_k),
            DataType::Q3K => plain(To::WideThree, 4, k_quants::q3_k),
            DataType::Q4K => plain(To::WideFour, 0, k_quants::q4_k),
            DataType::Q5K => plain(To::WideFive, 0, k_quants::q5_k),
            DataType::Q6K => plain(To::WideSix, 32, k_quants::q6_k),
            DataType::Iq4Nl => table(To::FourTable, lattice::NON_LINEAR, 1.0, lattice::iq4_nl),
            DataType::Iq4Xs => table(To::WideFourTable, lattice::NON_LINEAR, 1.0, lattice::iq4_xs),
            DataType::Iq2Xxs => table(To::WideThreeTable, lattice::IQ2_LEVELS, lattice::IQ2_FACTOR, lattice::iq2_xxs),
        }
    }
}

/// Four bits of each byte of two words that follow each other in the file.
const NIBBLES: u32 = 0x0f0f_0f0f;

fn word(bytes: &[u8], index: usize) -> u32 {
    let start = index * 4;
    u32::from_le_bytes([bytes[start], bytes[start + 1], bytes[start + 2], bytes[start + 3]])
}

fn half(bytes: &[u8], start: usize) -> half::f16 {
    half::f16::from_le_bytes([bytes[start], bytes[start + 1]])
}

/// Four bits, lowest first, as the lowest bit of four bytes.
fn spread(bits: u32) -> u32 {
    (bits & 15).wrapping_mul(0x0020_4081) & 0x0101_0101
}
