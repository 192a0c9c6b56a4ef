//! Inputs of products with quantized weights are rounded to eight bits, as the reference engine does it.

use crate::quants::Packing;

/// `levels_of` and `words_of` in WGSL.
pub(super) const ROUNDING: &str = concat!(include_str!("word.wgsl"), include_str!("rounding.wgsl"));

/// `word_of` in WGSL.
pub(super) const WORD: &str = include_str!("word.wgsl");

/// Elements of an input that share a scale before they are multiplied with a format; none where it is not rounded.
pub(crate) fn block(packing: &Packing) -> Option<usize> {
    packing.levels.map(|_| packing.elements)
}

/// What a level of a block is worth, and how many levels 1 has.
pub(crate) fn level(block: &[f32]) -> (f32, f32) {
    let most = block.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    (most / 127.0, if most > 1e-30 { 127.0 / most } else { 0.0 })
}

/// Rounds blocks of so many elements.
pub(crate) fn plain(row: &mut [f32], block: usize) {
    for block in row.chunks_mut(block) {
        let (scale, inverse) = level(block);
        for value in block {
            *value = (*value * inverse).round_ties_even() * scale;
        }
    }
}

/// What a format multiplies instead of a row.
pub(crate) fn plain_for(packing: &Packing, row: &[f32]) -> Vec<f32> {
    let mut rounded = row.to_vec();
    if let Some(block) = block(packing) {
        plain(&mut rounded, block);
    }
    rounded
}

#[cfg(test)]
mod tests {
    use nearside_gguf::DataType;

    use super::{block, plain};
    use crate::quants::packing;

    #[test]
    fn levels_are_a_127th_of_the_largest_magnitude_apart() {
        let mut row = vec![0.0; 512];
        row[3] = -254.0;
        row[4] = 3.1;
        row[5] = 2.9;
        row[256] = 12.7;
        row[257] = 0.06;
        let mut narrow = row.clone();
        narrow[40] = 3.1;
        plain(&mut row, 256);
        assert_eq!(row[3..6], [-254.0, 4.0, 2.0]);
        assert!((row[257] - 0.1).abs() < 1e-6);
        plain(&mut narrow, 32);
        assert_eq!((narrow[3], narrow[4], narrow[40]), (-254.0, 4.0, 3.1));
    }

    #[test]
    fn a_scale_is_shared_as_in_the_reference() {
        let of = |data_type| block(packing(data_type).expect("a known format"));
        for data_type in [DataType::Q4_0, DataType::Q4_1, DataType::Q5_0, DataType::Q5_1, DataType::Q8_0] {
            assert_eq!(of(data_type), Some(32), "{}", data_type.name());
        }
        for data_type in [DataType::Q2K, DataType::Q4K, DataType::Q6K, DataType::Iq4Xs, DataType::Iq2Xxs] {
            assert_eq!(of(data_type), Some(256), "{}", data_type.name());
        }
        assert_eq!((of(DataType::Iq4Nl), of(DataType::F16), of(DataType::F32)), (Some(32), None, None));
    }
}
