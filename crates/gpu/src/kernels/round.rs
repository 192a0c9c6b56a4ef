//! Inputs of products with some formats are rounded to eight bits, as the reference engine does it.

use nearside_gguf::DataType;

use super::{Access, ELEMENT_THREADS, Grid, Program, reduce};
use crate::adapter::Tuning;

/// Elements that share a scale.
pub(crate) const BLOCK: usize = 256;

/// `rounded` in WGSL.
pub(super) const ROUNDING: &str = include_str!("rounding.wgsl");

/// `magnitude` in WGSL, which needs [`reduce::WHOLE`] for one number.
pub(super) const MAGNITUDE: &str = include_str!("magnitude.wgsl");

/// Whether the inputs of products with a matrix of this format and so many columns are rounded.
pub(crate) fn applies(data_type: DataType, columns: usize) -> bool {
    data_type.block_elements() == BLOCK && columns.is_multiple_of(BLOCK)
}

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    /// Blocks of a row.
    pub(crate) blocks: u32,
    /// In vectors of four.
    pub(crate) stride: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.row_limit, self.blocks, self.stride]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Tiles { per_tile: self.blocks, rows: 1 }
    }
}

/// Binding: the slot.
pub(crate) fn program(tuning: &Tuning) -> Program {
    let [numbers, turns, subgroups] = reduce::whole(1, 1, tuning);
    Program::new(
        "round",
        &[reduce::WHOLE, MAGNITUDE, ROUNDING, include_str!("round.wgsl")],
        &[("THREADS", ELEMENT_THREADS), numbers, turns, subgroups],
        [(2, Access::Write)],
    )
}

/// What a level of a block is worth, and how many levels 1 has.
pub(crate) fn level(block: &[f32]) -> (f32, f32) {
    let most = block.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    (most / 127.0, if most > 1e-30 { 127.0 / most } else { 0.0 })
}

/// Rounds whole blocks.
pub(crate) fn plain(row: &mut [f32]) {
    plain_blocks(row, BLOCK);
}

/// Rounds blocks of so many elements.
pub(crate) fn plain_blocks(row: &mut [f32], block: usize) {
    for block in row.chunks_mut(block) {
        let (scale, inverse) = level(block);
        for value in block {
            *value = (*value * inverse).round_ties_even() * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use nearside_gguf::DataType;

    use super::{Params, applies, plain, program};
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    #[test]
    fn every_block_has_a_scale_of_its_own() {
        each_gpu(|gpu| {
            for (rows, blocks) in [(1, 1), (3, 2), (17, 5)] {
                let mut random = Random::new(13);
                let stride = blocks * 256 + 32;
                let mut input: Vec<_> = (0..rows).map(|_| random.floats(blocks * 256)).collect();
                // A block of zeros, and one of numbers that are almost none.
                input[0][..256].fill(0.0);
                let last = input.last_mut().expect("a row");
                last[blocks * 256 - 256..].iter_mut().for_each(|value| *value *= 1e-36);
                let params = Params { row_limit: 32, blocks: blocks as u32, stride: stride as u32 / 4 };
                let mut run = Run::new(gpu, &program(&gpu.tuning), &params.words(), rows);
                let slot = run.output(&matrix(&input, stride));
                let found = run.go(params.grid()).floats(slot);
                for row in &mut input {
                    plain(row);
                }
                close(&found, &matrix(&input, stride), 1e-6, &format!("{rows} {blocks}"));
            }
        });
    }

    #[test]
    fn levels_are_a_127th_of_the_largest_magnitude_apart() {
        let mut row = vec![0.0; 512];
        row[3] = -254.0;
        row[4] = 3.1;
        row[5] = 2.9;
        row[256] = 12.7;
        row[257] = 0.06;
        plain(&mut row);
        assert_eq!(row[3..6], [-254.0, 4.0, 2.0]);
        assert!((row[257] - 0.1).abs() < 1e-6);
    }

    #[test]
    fn formats_with_blocks_of_256_are_meant() {
        assert!(applies(DataType::Q4K, 512) && applies(DataType::Iq2Xxs, 256));
        assert!(!applies(DataType::Q4K, 100) && !applies(DataType::Q8_0, 256) && !applies(DataType::F16, 256));
    }
}
