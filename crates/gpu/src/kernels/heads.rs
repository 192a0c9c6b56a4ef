//! The products that give one token's queries, keys and values, all in one go.

use super::matmul::Split;
use super::stage::Stage;
use super::{Access, Grid, Program, reduce};
use crate::quants::Packing;
use crate::template::suffixed;

/// Matrices of one format that lie in one buffer, one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stack {
    /// Units of 32 elements in a row.
    pub(crate) units: u32,
    /// Groups of 16 rows.
    pub(crate) groups: u32,
    pub(crate) rows: u32,
    /// Where they begin in what is bound, in groups.
    pub(crate) first_group: u32,
    /// Where their products go.
    pub(crate) column: u32,
}

/// Most stacks that one kernel takes.
pub(crate) const STACKS: usize = 2;

pub(crate) struct Params {
    pub(crate) stacks: [Stack; STACKS],
    pub(crate) scale: f32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        let stack = |stack: &Stack| [stack.units, stack.groups, stack.rows, stack.first_group, stack.column];
        self.stacks.iter().flat_map(stack).chain([self.scale.to_bits()]).collect()
    }

    pub(crate) fn grid(&self, split: Split) -> Grid {
        Grid::Fixed(self.stacks.iter().map(|stack| stack.groups.div_ceil(split.groups())).sum())
    }
}

/// Bindings: input, output, bias if any, then quants and extras of each stack.
pub(crate) fn program(packings: &[&Packing], bias: bool, split: Split) -> Program {
    use Access::{Read, Write};
    let second = packings.len() > 1;
    let Stage { mut definitions, decoders, shared } = Stage::new(packings, 1, split.packed);
    let decoders: Vec<String> = decoders.iter().enumerate().map(|(index, text)| suffixed(text, index)).collect();
    let own = [reduce::SLICES, include_str!("heads.wgsl")];
    let parts: Vec<&str> = decoders.iter().map(String::as_str).chain(shared).chain(own).collect();
    definitions.extend(split.definitions(1));
    definitions.extend([
        ("BIAS", u32::from(bias)),
        ("SECOND", u32::from(second)),
        ("FORMATS", if second { 2 } else { 1 }),
    ]);
    Program::new(
        "heads",
        &parts,
        &definitions,
        [(2, Read), (3, Write)]
            .into_iter()
            .chain(bias.then_some((4, Read)))
            .chain([(5, Read), (6, Read)])
            .chain(second.then_some([(7, Read), (8, Read)]).into_iter().flatten()),
    )
}

#[cfg(test)]
mod tests {
    use super::{Params, Stack, program};
    use crate::kernels::matmul::{self, Split};
    use crate::kernels::round;
    use crate::testing::{Gpu, Matrix, Random, Run, close, each_gpu, packings};

    fn check(gpu: &Gpu, matrices: &[Matrix], bias: bool, split: Split) {
        let columns = matrices[0].columns;
        let mut random = Random::new(31);
        let input = random.floats(columns);
        let gap = 5;
        let width = matrices.iter().map(|matrix| matrix.rows.len() + gap).sum();
        let biases = random.floats(width);
        let mut expected = vec![0.0; width];
        let mut stacks = [Stack::default(); super::STACKS];
        let mut column = 0;
        for (stack, matrix) in stacks.iter_mut().zip(matrices) {
            let rows = matrix.rows.len();
            let rounded = round::plain_for(matrix.packing, &input);
            let bias = bias.then_some(&biases[column..column + rows]);
            expected[column..column + rows].copy_from_slice(&matmul::plain(&matrix.rows, &rounded, 0.5, bias, None));
            *stack = Stack {
                units: matrix.packing.units(columns) as u32,
                groups: rows.div_ceil(16) as u32,
                rows: rows as u32,
                first_group: 0,
                column: column as u32,
            };
            column += rows + gap;
        }
        let params = Params { stacks, scale: 0.5 };
        let formats: Vec<_> = matrices.iter().map(|matrix| matrix.packing).collect();
        let mut run = Run::new(gpu, &program(&formats, bias, split), &params.words(), 1);
        let mut padded = input.clone();
        padded.resize(columns.next_multiple_of(32), 0.0);
        run.floats(&padded);
        let output = run.output(&vec![0.0; width]);
        if bias {
            run.floats(&biases);
        }
        for matrix in matrices {
            let piece = matrix.piece(0, matrix.rows.len());
            run.words(&piece.quants).words(&piece.extras);
        }
        let found = run.go(params.grid(split)).floats(output);
        let names: Vec<_> = formats.iter().map(|packing| packing.data_type.name()).collect();
        close(&found, &expected, 1e-4, &format!("{names:?} {split:?}"));
    }

    #[test]
    fn one_stack_or_two_formats_multiply_right() {
        let all: Vec<_> = packings().collect();
        // Each format once, beside one of another kind.
        for pair in all.chunks(2) {
            let [first, second] = pair else { continue };
            let matrices = [Matrix::random(first, 83, 256, 3), Matrix::random(second, 40, 256, 4)];
            each_gpu(|gpu| {
                for packed in [false, gpu.facts.packed_dots] {
                    check(gpu, &matrices, true, Split { rows: 1, slices: 4, packed });
                    check(gpu, &matrices[..1], false, Split { rows: 4, slices: 1, packed });
                }
            });
        }
    }
}
