//! Copies a part of a slot: some columns of every row, or the last tokens' rows.

use super::{Access, ELEMENT_THREADS, Grid, Program};

/// Which rows are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All that there are.
    All,
    /// As many of the last ones as the limit says.
    Last,
}

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    pub(crate) width: u32,
    /// The first column.
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
pub(crate) fn program(rows: Rows) -> Program {
    Program::new(
        if rows == Rows::Last { "last_rows" } else { "columns" },
        &[include_str!("part.wgsl")],
        &[("THREADS", ELEMENT_THREADS), ("LAST", u32::from(rows == Rows::Last))],
        [(2, Access::Read), (3, Access::Write)],
    )
}

/// So many columns of so many last rows.
pub(crate) fn plain(rows: &[Vec<f32>], count: usize, start: usize, width: usize) -> Vec<Vec<f32>> {
    rows[rows.len() - count..].iter().map(|row| row[start..start + width].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Params, Rows, plain, program};
    use crate::header::LAST_ROWS;
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    #[test]
    fn columns_come_from_where_they_start_and_the_last_rows_stay() {
        each_gpu(|gpu| {
            for (rows, wide, count, start, width) in [
                (1, 96, None, 64, 32),
                (3, 50, None, 7, 41),
                (17, 33, None, 0, 1),
                (1, 96, Some(1), 0, 96),
                (3, 50, Some(1), 0, 50),
                (17, 576, Some(5), 0, 576),
                (4, 40, Some(4), 0, 40),
            ] {
                let mut random = Random::new(5);
                let [input_stride, output_stride] = [wide, width].map(|width: usize| width.next_multiple_of(32));
                let input: Vec<_> = (0..rows).map(|_| random.floats(wide)).collect();
                let params = Params {
                    row_limit: if count.is_some() { LAST_ROWS | 8 } else { 32 },
                    width: width as u32,
                    start: start as u32,
                    input_stride: input_stride as u32,
                    output_stride: output_stride as u32,
                };
                let which = if count.is_some() { Rows::Last } else { Rows::All };
                let count = count.unwrap_or(rows);
                let mut run = Run::new(gpu, &program(which), &params.words(), rows);
                run.step.choices = count as u32;
                run.floats(&matrix(&input, input_stride));
                let output = run.output(&vec![0.0; count * output_stride]);
                let found = run.go(params.grid()).floats(output);
                let expected = matrix(&plain(&input, count, start, width), output_stride);
                close(&found, &expected, 0.0, &format!("{count} of {rows} {start} {width}"));
            }
        });
    }
}
