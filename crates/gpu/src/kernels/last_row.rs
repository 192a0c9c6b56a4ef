//! Keeps only the last token's row.

use super::{Access, ELEMENT_THREADS, Grid, Program};

pub(crate) struct Params {
    pub(crate) width: u32,
    pub(crate) input_stride: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.width, self.input_stride]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Fixed(self.width.div_ceil(ELEMENT_THREADS))
    }
}

/// Bindings: input, output.
pub(crate) fn program() -> Program {
    Program::new(
        "last_row",
        &[include_str!("last_row.wgsl")],
        &[("THREADS", ELEMENT_THREADS)],
        [(2, Access::Read), (3, Access::Write)],
    )
}

/// The last row.
#[cfg(test)]
pub(crate) fn plain(rows: &[Vec<f32>]) -> Vec<f32> {
    rows.last().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Params, plain, program};
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    #[test]
    fn the_last_row_stays() {
        each_gpu(|gpu| {
            for (rows, width) in [(1, 96usize), (3, 50), (17, 576)] {
                let mut random = Random::new(5);
                let stride = width.next_multiple_of(32);
                let input: Vec<_> = (0..rows).map(|_| random.floats(width)).collect();
                let params = Params { width: width as u32, input_stride: stride as u32 };
                let mut run = Run::new(gpu, &program(), &params.words(), rows);
                run.floats(&matrix(&input, stride));
                let output = run.output(&vec![0.0; width]);
                let found = run.go(params.grid()).floats(output);
                close(&found, &plain(&input), 0.0, &format!("{rows} {width}"));
            }
        });
    }
}
