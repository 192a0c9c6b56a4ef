//! The inputs of many tokens as the tiles want them for quantized weights: eight bits for an element, four elements
//! to a word, and a scale for 256 of them or 32, as the reference engine has it for the weights' format.

use super::{Access, ELEMENT_THREADS, Grid, Program, round};
use crate::quants::UNIT;

/// Words of one unit: its levels, then its scale, and that times the sums of its first sixteen levels, its last
/// ones, and all.
pub(crate) const UNIT_WORDS: usize = 12;

/// Elements that one invocation packs.
const ELEMENTS: usize = 8;

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    /// Units of a row.
    pub(crate) units: u32,
    /// In vectors of four.
    pub(crate) stride: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.row_limit, self.units, self.stride]
    }

    pub(crate) fn grid(&self) -> Grid {
        let invocations = self.units * (UNIT / ELEMENTS) as u32;
        Grid::Tiles { per_tile: invocations.div_ceil(ELEMENT_THREADS), rows: 1 }
    }
}

/// Bindings: input, packed.
pub(crate) fn program(block: usize) -> Program {
    Program::new(
        "pack",
        &[round::ROUNDING, include_str!("pack.wgsl")],
        &[("THREADS", ELEMENT_THREADS), ("BLOCK_THREADS", (block / ELEMENTS) as u32)],
        [(2, Access::Read), (3, Access::Write)],
    )
}

/// The words of whole units that are alike except that so many elements share a scale.
#[cfg(test)]
pub(crate) fn plain(row: &[f32], block: usize) -> Vec<u32> {
    let mut words = Vec::new();
    for block in row.chunks(block) {
        let (scale, inverse) = round::level(block);
        for unit in block.chunks(UNIT) {
            let levels: Vec<i8> = unit.iter().map(|value| (value * inverse).round_ties_even() as i8).collect();
            for eight in levels.chunks(ELEMENTS) {
                for first in 0..2 {
                    let bytes = [0, 2, 4, 6].map(|at| eight[first + at].cast_unsigned());
                    words.push(u32::from_le_bytes(bytes));
                }
            }
            let sum = |levels: &[i8]| levels.iter().map(|level| i32::from(*level)).sum::<i32>() as f32 * scale;
            let factors = [scale, sum(&levels[..16]), sum(&levels[16..]), sum(&levels)];
            words.extend(factors.map(f32::to_bits));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{Params, UNIT_WORDS, plain, program};
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    /// Every element of some units, each followed by its factors.
    fn floats(words: &[u32]) -> Vec<f32> {
        let unit = |words: &[u32]| {
            let factors: Vec<f32> = words[8..].iter().map(|word| f32::from_bits(*word)).collect();
            let levels = words[..8].iter().flat_map(|word| word.to_le_bytes());
            levels.map(|level| f32::from(level.cast_signed()) * factors[0]).chain(factors.clone()).collect::<Vec<_>>()
        };
        words.chunks(UNIT_WORDS).flat_map(unit).collect()
    }

    #[test]
    fn every_unit_has_its_levels_its_scale_and_its_sums() {
        each_gpu(|gpu| {
            for (rows, units, block) in [(1, 8, 256), (3, 24, 256), (2, 1, 32), (17, 19, 32)] {
                let mut random = Random::new(13);
                let stride = units * 32 + 32;
                let mut input: Vec<_> = (0..rows).map(|_| random.floats(units * 32)).collect();
                // A block of zeros, and one of numbers that are almost none.
                input[0][..block].fill(0.0);
                let last = input.last_mut().expect("a row");
                last[units * 32 - block..].iter_mut().for_each(|value| *value *= 1e-36);
                let params = Params { row_limit: 32, units: units as u32, stride: stride as u32 / 4 };
                let mut run = Run::new(gpu, &program(block), &params.words(), rows);
                run.floats(&matrix(&input, stride));
                let output = run.output_words(&vec![7; rows * units * UNIT_WORDS]);
                let found = run.go(params.grid()).words(output);
                let expected: Vec<_> = input.iter().flat_map(|row| plain(row, block)).collect();
                close(&floats(&found), &floats(&expected), 1e-5, &format!("{rows} {units} {block}"));
            }
        });
    }

    #[test]
    fn even_elements_come_before_odd_ones() {
        let mut row = vec![0.0; 32];
        row[..8].copy_from_slice(&[127.0, 1.0, 2.0, -1.0, 4.0, 5.0, 6.0, 7.0]);
        row[31] = -3.0;
        let words = plain(&row, 32);
        assert_eq!([words[0], words[1], words[7]], [0x0604_027f, 0x0705_ff01, 0xfd00_0000]);
        let factors: Vec<_> = words[8..].iter().map(|word| f32::from_bits(*word)).collect();
        assert_eq!(factors, [1.0, 151.0, -3.0, 148.0]);
    }
}
