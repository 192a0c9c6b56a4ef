//! Copies some columns of a wider slot.

use super::{Access, ELEMENT_THREADS, Grid, Program};

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    pub(crate) width: u32,
    pub(crate) start: u32,
    pub(crate) input_stride: u32,
    pub(crate) output_stride: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.row_limit, self.width, self.start, self.input_stride, self.output_stride]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Elements { per_row: self.width, threads: ELEMENT_THREADS }
    }
}

/// Bindings: input, output.
pub(crate) fn program() -> Program {
    Program::new(
        "columns",
        &[include_str!("columns.wgsl")],
        &[("THREADS", ELEMENT_THREADS)],
        [(2, Access::Read), (3, Access::Write)],
    )
}

/// One row's columns.
pub(crate) fn plain(row: &[f32], start: usize, width: usize) -> Vec<f32> {
    row[start..start + width].to_vec()
}

#[cfg(test)]
mod tests {
    use super::{Params, plain, program};
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    #[test]
    fn columns_come_from_where_they_start() {
        each_gpu(|gpu| {
            for (rows, wide, start, width) in [(1, 96, 64, 32), (3, 50, 7, 41), (17, 33, 0, 1)] {
                let mut random = Random::new(5);
                let (input_stride, output_stride) = (64usize.max(wide).next_multiple_of(32), 64);
                let input: Vec<_> = (0..rows).map(|_| random.floats(wide)).collect();
                let expected: Vec<_> = input.iter().map(|row| plain(row, start, width)).collect();
                let params = Params {
                    row_limit: 32,
                    width: width as u32,
                    start: start as u32,
                    input_stride: input_stride as u32,
                    output_stride,
                };
                let mut run = Run::new(gpu, &program(), &params.words(), rows);
                run.floats(&matrix(&input, input_stride));
                let output = run.output(&vec![0.0; rows * 64]);
                let found = run.go(params.grid()).floats(output);
                close(&found, &matrix(&expected, 64), 0.0, &format!("{rows} {start} {width}"));
            }
        });
    }
}
