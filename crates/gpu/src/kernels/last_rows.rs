//! Keeps only the last tokens' rows.

use super::{Access, ELEMENT_THREADS, Grid, Program};

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    pub(crate) width: u32,
    pub(crate) input_stride: u32,
    pub(crate) output_stride: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.row_limit, self.width, self.input_stride, self.output_stride]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Elements { per_row: self.width, threads: ELEMENT_THREADS }
    }
}

/// Bindings: input, output.
pub(crate) fn program() -> Program {
    Program::new(
        "last_rows",
        &[include_str!("last_rows.wgsl")],
        &[("THREADS", ELEMENT_THREADS)],
        [(2, Access::Read), (3, Access::Write)],
    )
}

/// The last rows.
pub(crate) fn plain(rows: &[Vec<f32>], count: usize) -> Vec<Vec<f32>> {
    rows[rows.len() - count..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::{Params, plain, program};
    use crate::header::LAST_ROWS;
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    #[test]
    fn the_last_rows_stay() {
        each_gpu(|gpu| {
            for (rows, width, count) in [(1, 96usize, 1), (3, 50, 1), (17, 576, 5), (4, 40, 4)] {
                let mut random = Random::new(5);
                let stride = width.next_multiple_of(32);
                let input: Vec<_> = (0..rows).map(|_| random.floats(width)).collect();
                let params = Params {
                    row_limit: LAST_ROWS | 8,
                    width: width as u32,
                    input_stride: stride as u32,
                    output_stride: stride as u32,
                };
                let mut run = Run::new(gpu, &program(), &params.words(), rows);
                run.step.choices = count as u32;
                run.floats(&matrix(&input, stride));
                let output = run.output(&vec![0.0; count * stride]);
                let found = run.go(params.grid()).floats(output);
                close(&found, &matrix(&plain(&input, count), stride), 0.0, &format!("{count} of {rows} {width}"));
            }
        });
    }
}
