//! Two slots become one, element by element.

use nearside_engine::graph::Activation;

use super::{Access, ELEMENT_THREADS, Grid, Program, activation};

/// What becomes of two elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    /// Their sum.
    Sum,
    /// The second one, gated by the activated first one.
    Gated(Activation),
}

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

impl Pair {
    /// Bindings: output, then left and right unless they are the output.
    pub(crate) fn program(self, left_in_place: bool, right_in_place: bool) -> Program {
        let mut parts = vec![include_str!("pair.wgsl")];
        let mut definitions = vec![
            ("THREADS", ELEMENT_THREADS),
            ("LEFT_IN_PLACE", u32::from(left_in_place)),
            ("RIGHT_IN_PLACE", u32::from(right_in_place)),
        ];
        if let Self::Gated(activation) = self {
            parts.push(activation::ACTIVATION);
            definitions.extend([("GATES", 1), activation::definition(activation)]);
        }
        Program::new(
            if self == Self::Sum { "add" } else { "gate" },
            &parts,
            &definitions,
            [(2, Access::Write)]
                .into_iter()
                .chain((!left_in_place).then_some((3, Access::Read)))
                .chain((!right_in_place).then_some((4, Access::Read))),
        )
    }

    /// Of whole rows.
    pub(crate) fn plain(self, left: &[f32], right: &[f32]) -> Vec<f32> {
        let of = |(left, right): (&f32, &f32)| match self {
            Self::Sum => left + right,
            Self::Gated(activation) => activation::plain(activation, *left) * right,
        };
        left.iter().zip(right).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use nearside_engine::graph::Activation;

    use super::{Pair, Params};
    use crate::testing::{Random, Run, close, each_gpu};

    #[test]
    fn sums_and_both_activations_in_place_or_not() {
        each_gpu(|gpu| {
            for pair in [Pair::Sum, Pair::Gated(Activation::Silu), Pair::Gated(Activation::GeluTanh)] {
                for (rows, width, in_place) in
                    [(1, 96, [true, false]), (3, 32, [false, true]), (17, 160, [false, false]), (3, 64, [true, true])]
                {
                    let mut random = Random::new(5);
                    let mut left = random.floats(rows * width);
                    left[..4].copy_from_slice(&[40.0, -40.0, 300.0, -300.0]);
                    let right = if in_place == [true, true] { left.clone() } else { random.floats(rows * width) };
                    let params = Params { row_limit: 32, stride: width as u32 / 4 };
                    let mut run = Run::new(gpu, &pair.program(in_place[0], in_place[1]), &params.words(), rows);
                    let blank = vec![0.0; rows * width];
                    let output = run.output(match in_place {
                        [true, _] => &left,
                        [_, true] => &right,
                        _ => &blank,
                    });
                    if !in_place[0] {
                        run.floats(&left);
                    }
                    if !in_place[1] {
                        run.floats(&right);
                    }
                    let found = run.go(params.grid()).floats(output);
                    let tolerance = if pair == Pair::Sum { 1e-6 } else { 1e-5 };
                    close(&found, &pair.plain(&left, &right), tolerance, &format!("{pair:?} {rows} {width}"));
                }
            }
        });
    }
}
