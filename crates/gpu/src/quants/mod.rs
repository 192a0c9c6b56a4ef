//! How each storage format lies on the device, and how to get there from the file.
//!
//! Rows are taken sixteen at a time. Within such a group the words of neighbouring rows lie side by
//! side, so that sixteen invocations, one a row, read one contiguous span, and a matrix-vector
//! product needs no reduction across rows. A format has up to two planes: `quants`, read as `vec4<u32>`,
//! with whole ones (or for two-bit codes half a one) for each 32 elements of a row, and `extras`, the
//! words that do not come in such sizes (scales, minima, high bits). Both hold exactly the file's bits,
//! so nothing grows; only a format that indexes a table has that in front of its extras, once a matrix.
//!
//! One more format is one file: a packing function, its plain decoder, and the same decoder in WGSL.

mod bf16;
mod f16;
mod f32;
mod iq2_xxs;
mod iq4_nl;
mod iq4_xs;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

use half::f16 as Half;
use nearside_gguf::{DataType, dequantize};

/// Rows whose words lie side by side.
pub(crate) const LANES: usize = 16;

/// What the formats' shaders share where levels are packed.
pub(crate) const PACKED: &str = include_str!("packed.wgsl");

/// Elements that a kernel decodes together.
pub(crate) const UNIT: usize = 32;

/// Weights as signed bytes: each is a level times a scale, and a minimum more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Levels {
    /// Scales of a [`UNIT`]: one, or one for each half.
    pub(crate) scales: u32,
    /// Whether there are as many minima.
    pub(crate) minima: bool,
}

/// One storage format on the device.
pub(crate) struct Packing {
    /// The file's format.
    pub(crate) data_type: DataType,
    /// Elements in one packed block: the file's block, or [`UNIT`] for plain floats.
    pub(crate) elements: usize,
    /// Bytes of the file in one packed block.
    pub(crate) bytes: usize,
    /// Words of the quants plane for each [`UNIT`] elements of a row: 2, or a multiple of 4.
    pub(crate) words: usize,
    /// Words of the extras plane for each block of [`LANES`] rows.
    pub(crate) extras: usize,
    /// What the extras plane begins with.
    pub(crate) table: &'static [u32],
    /// `struct Block`, `load_block` and `eight` in WGSL; with levels and where `PACKED` is defined also `sixteen`,
    /// `scale_of` and `minimum_of`.
    pub(crate) shader: &'static str,
    /// What its weights are in small integers, unless they are floats.
    pub(crate) levels: Option<Levels>,
    /// Puts one row's block into the planes' part for that block.
    pack: fn(block: &[u8], lane: usize, quants: &mut [u32], extras: &mut [u32]),
    /// Decodes [`UNIT`] elements of one row from the planes' part for that block.
    unpack: fn(unit: usize, lane: usize, quants: &[u32], extras: &[u32]) -> [f32; UNIT],
}

const PACKINGS: &[Packing] = &[
    f32::PACKING,
    f16::PACKING,
    bf16::PACKING,
    q4_0::PACKING,
    q4_1::PACKING,
    q5_0::PACKING,
    q5_1::PACKING,
    q8_0::PACKING,
    q2_k::PACKING,
    q3_k::PACKING,
    q4_k::PACKING,
    q5_k::PACKING,
    q6_k::PACKING,
    iq4_nl::PACKING,
    iq4_xs::PACKING,
    iq2_xxs::PACKING,
];

/// How a format is held, if this backend knows it.
pub(crate) fn packing(data_type: DataType) -> Option<&'static Packing> {
    PACKINGS.iter().find(|packing| packing.data_type == data_type)
}

/// Whole stored blocks as plain numbers; bytes that are not whole blocks are none.
pub(crate) fn decode(data_type: DataType, stored: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; stored.len() / data_type.block_bytes() * data_type.block_elements()];
    match dequantize(data_type, stored, &mut values) {
        Ok(()) => values,
        Err(_) => Vec::new(),
    }
}

/// The two planes of some groups of rows.
#[derive(Debug, Default)]
pub(crate) struct Planes {
    pub(crate) quants: Vec<u32>,
    pub(crate) extras: Vec<u32>,
}

impl Packing {
    /// Words of the quants plane for one block of [`LANES`] rows.
    fn quant_words(&self) -> usize {
        self.elements / UNIT * self.words * LANES
    }

    /// Packed blocks in a row of so many elements.
    fn blocks(&self, columns: usize) -> usize {
        columns.div_ceil(self.elements)
    }

    /// [`UNIT`]s in a packed row, its padding included.
    pub(crate) fn units(&self, columns: usize) -> usize {
        self.blocks(columns) * (self.elements / UNIT)
    }

    /// Bytes of one stored row.
    pub(crate) fn row_bytes(&self, columns: usize) -> usize {
        columns / self.data_type.block_elements() * self.data_type.block_bytes()
    }

    /// Bytes of what the extras plane begins with.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.table.len() as u64 * 4
    }

    /// Bytes of the quants and the extras plane for one group of rows.
    pub(crate) fn group_bytes(&self, columns: usize) -> (usize, usize) {
        (self.blocks(columns) * self.quant_words() * 4, self.blocks(columns) * self.extras * 4)
    }

    /// Packs whole stored rows; a last group that is not full is filled up with zeros.
    pub(crate) fn pack_rows(&self, stored: &[u8], columns: usize, planes: &mut Planes) {
        let row_bytes = self.row_bytes(columns);
        let rows = stored.len() / row_bytes;
        let groups = rows.div_ceil(LANES);
        let (quant_bytes, extra_bytes) = self.group_bytes(columns);
        planes.quants.clear();
        planes.quants.resize(groups * quant_bytes / 4, 0);
        planes.extras.clear();
        planes.extras.resize(groups * extra_bytes / 4, 0);
        let (quant_words, extra_words) = (self.quant_words(), self.extras);
        for (row, bytes) in stored.chunks_exact(row_bytes).enumerate() {
            let (group, lane) = (row / LANES, row % LANES);
            for (index, block) in bytes.chunks(self.bytes).enumerate() {
                let at = group * self.blocks(columns) + index;
                let quants = &mut planes.quants[at * quant_words..][..quant_words];
                let extras = &mut planes.extras[at * extra_words..][..extra_words];
                (self.pack)(block, lane, quants, extras);
            }
        }
    }

    /// Decodes one row of packed planes.
    pub(crate) fn unpack_row(&self, planes: &Planes, row: usize, columns: usize) -> Vec<f32> {
        let (group, lane) = (row / LANES, row % LANES);
        let mut values = Vec::with_capacity(columns);
        for index in 0..self.blocks(columns) {
            let at = group * self.blocks(columns) + index;
            let quants = &planes.quants[at * self.quant_words()..][..self.quant_words()];
            let extras = &planes.extras[at * self.extras..][..self.extras];
            for unit in 0..self.elements / UNIT {
                values.extend((self.unpack)(unit, lane, quants, extras));
            }
        }
        values.truncate(columns);
        values
    }
}

/// Where a lane's two words of a unit begin in a quants plane of such pairs.
fn pair_index(unit: usize, lane: usize) -> usize {
    (unit * LANES + lane) * 2
}

/// Puts 32 codes of two bits into a lane's two words.
fn put_pairs(codes: &[u8; 32], unit: usize, lane: usize, quants: &mut [u32]) {
    for (element, code) in codes.iter().enumerate() {
        quants[pair_index(unit, lane) + element / 16] |= u32::from(code & 3) << (2 * (element % 16));
    }
}

/// The two-bit code of one element.
fn pair_code(element: usize, unit: usize, lane: usize, quants: &[u32]) -> u32 {
    quants[pair_index(unit, lane) + element / 16] >> (2 * (element % 16)) & 3
}

/// Where a vector of a lane begins in the quants plane, of so many to a unit.
fn quant_index(unit: usize, vectors: usize, vector: usize, lane: usize) -> usize {
    ((unit * vectors + vector) * LANES + lane) * 4
}

/// Packs 32 codes of four bits into one vector of the quants plane.
fn put_nibbles(codes: &[u8], unit: usize, lane: usize, quants: &mut [u32]) {
    let at = quant_index(unit, 1, 0, lane);
    for (word, eight) in quants[at..at + 4].iter_mut().zip(codes.chunks_exact(8)) {
        *word = eight.iter().enumerate().fold(0, |word, (index, code)| word | u32::from(code & 15) << (4 * index));
    }
}

/// The four-bit code of one element.
fn nibble(element: usize, unit: usize, lane: usize, quants: &[u32]) -> u32 {
    quants[quant_index(unit, 1, 0, lane) + element / 8] >> (4 * (element % 8)) & 15
}

/// Puts 16 bits into a lane's half of a word.
fn put_half(words: &mut [u32], lane: usize, bits: u16) {
    words[lane / 2] |= u32::from(bits) << (16 * (lane % 2));
}

/// The float in a lane's half of a word.
fn half_at(words: &[u32], lane: usize) -> f32 {
    half_from((words[lane / 2] >> (16 * (lane % 2))) as u16)
}

fn half_from(bits: u16) -> f32 {
    Half::from_bits(bits).to_f32()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The codes of a block of 32 whose byte `j` holds elements `j` and `j + 16`.
fn split_nibbles(bytes: &[u8]) -> [u8; 32] {
    std::array::from_fn(|element| if element < 16 { bytes[element] & 15 } else { bytes[element - 16] >> 4 })
}

#[cfg(test)]
mod tests {
    use super::{PACKINGS, Planes, decode};
    use crate::arbitrary::{Random, random_rows};

    #[test]
    fn packed_rows_decode_as_the_stored_ones() {
        let mut random = Random::new(7);
        for packing in PACKINGS {
            for rows in [1, 16, 19] {
                let columns = packing.elements * 3;
                let stored = random_rows(packing.data_type, rows, columns, &mut random);
                let mut planes = Planes::default();
                packing.pack_rows(&stored, columns, &mut planes);
                for row in 0..rows {
                    let bytes = packing.row_bytes(columns);
                    let expected = decode(packing.data_type, &stored[row * bytes..][..bytes]);
                    let found = packing.unpack_row(&planes, row, columns);
                    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let tolerance = 1e-6 * expected.abs().max(1.0);
                        assert!(
                            (found - expected).abs() <= tolerance,
                            "{} row {row} column {index}: {found} is not {expected}",
                            packing.data_type.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn planes_are_no_larger_than_the_file() {
        for packing in PACKINGS {
            let columns = packing.elements * 8;
            let (quants, extras) = packing.group_bytes(columns);
            assert_eq!(quants + extras, packing.row_bytes(columns) * super::LANES, "{}", packing.data_type.name());
        }
    }
}
