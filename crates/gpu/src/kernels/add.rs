//! Adds two slots.

use super::{Access, ELEMENT_THREADS, Grid, Program};

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    /// In vectors of four, the same for all three slots.
    pub(crate) stride: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.row_limit, self.stride]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Elements { per_row: self.stride, threads: ELEMENT_THREADS }
    }
}

/// Bindings: output, then left and right unless they are the output.
pub(crate) fn program(left_in_place: bool, right_in_place: bool) -> Program {
    Program::new(
        "add",
        &[include_str!("add.wgsl")],
        &[
            ("THREADS", ELEMENT_THREADS),
            ("LEFT_IN_PLACE", u32::from(left_in_place)),
            ("RIGHT_IN_PLACE", u32::from(right_in_place)),
        ],
        [(2, Access::Write)]
            .into_iter()
            .chain((!left_in_place).then_some((3, Access::Read)))
            .chain((!right_in_place).then_some((4, Access::Read))),
    )
}

/// Element by element.
pub(crate) fn plain(left: &[f32], right: &[f32]) -> Vec<f32> {
    left.iter().zip(right).map(|(left, right)| left + right).collect()
}

#[cfg(test)]
mod tests {
    use super::{Params, plain, program};
    use crate::testing::{Random, Run, close, each_gpu};

    #[test]
    fn sums_in_place_or_not() {
        each_gpu(|gpu| {
            for (rows, width, in_place) in
                [(1, 96, [true, false]), (3, 32, [false, true]), (17, 160, [false, false]), (3, 64, [true, true])]
            {
                let mut random = Random::new(5);
                let left = random.floats(rows * width);
                let right = if in_place == [true, true] { left.clone() } else { random.floats(rows * width) };
                let expected = plain(&left, &right);
                let params = Params { row_limit: 32, stride: width as u32 / 4 };
                let mut run = Run::new(gpu, &program(in_place[0], in_place[1]), &params.words(), rows);
                let blank = vec![0.0; rows * width];
                let output = run.output(if in_place[0] {
                    &left
                } else if in_place[1] {
                    &right
                } else {
                    &blank
                });
                if !in_place[0] {
                    run.floats(&left);
                }
                if !in_place[1] {
                    run.floats(&right);
                }
                let found = run.go(params.grid()).floats(output);
                close(&found, &expected, 1e-6, &format!("{rows} {width}"));
            }
        });
    }
}
