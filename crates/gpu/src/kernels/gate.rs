//! The gated feed-forward's activation.

use nearside_engine::graph::Activation;

use super::{Access, ELEMENT_THREADS, Grid, Program};
use crate::template::Definition;

/// `activate` in WGSL, directed by [`activation_definition`].
pub(super) const ACTIVATION: &str = include_str!("activation.wgsl");

/// Says which activation it is.
pub(super) fn activation_definition(activation: Activation) -> Definition {
    ("SILU", u32::from(activation == Activation::Silu))
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

/// Bindings: output, then gate and up unless they are the output.
pub(crate) fn program(activation: Activation, gate_in_place: bool, up_in_place: bool) -> Program {
    Program::new(
        "gate",
        &[ACTIVATION, include_str!("gate.wgsl")],
        &[
            ("THREADS", ELEMENT_THREADS),
            activation_definition(activation),
            ("GATE_IN_PLACE", u32::from(gate_in_place)),
            ("UP_IN_PLACE", u32::from(up_in_place)),
        ],
        [(2, Access::Write)]
            .into_iter()
            .chain((!gate_in_place).then_some((3, Access::Read)))
            .chain((!up_in_place).then_some((4, Access::Read))),
    )
}

/// One element.
pub(crate) fn plain(activation: Activation, gate: f32, up: f32) -> f32 {
    let activated = match activation {
        Activation::Silu => gate / (1.0 + (-gate).exp()),
        Activation::GeluTanh => {
            0.5 * gate * (1.0 + ((2.0 / std::f32::consts::PI).sqrt() * (gate + 0.044_715 * gate.powi(3))).tanh())
        }
    };
    activated * up
}

#[cfg(test)]
mod tests {
    use nearside_engine::graph::Activation;

    use super::{Params, plain, program};
    use crate::testing::{Random, Run, close, each_gpu};

    #[test]
    fn both_activations_in_place_or_not() {
        each_gpu(|gpu| {
            for activation in [Activation::Silu, Activation::GeluTanh] {
                for (rows, width, in_place) in
                    [(1, 96, [true, false]), (3, 32, [false, true]), (17, 160, [false, false])]
                {
                    let mut random = Random::new(5);
                    let mut gate = random.floats(rows * width);
                    gate[..4].copy_from_slice(&[40.0, -40.0, 300.0, -300.0]);
                    let up = random.floats(rows * width);
                    let expected: Vec<_> =
                        gate.iter().zip(&up).map(|(gate, up)| plain(activation, *gate, *up)).collect();
                    let params = Params { row_limit: 32, stride: width as u32 / 4 };
                    let mut run = Run::new(gpu, &program(activation, in_place[0], in_place[1]), &params.words(), rows);
                    let blank = vec![0.0; rows * width];
                    let output = run.output(if in_place[0] {
                        &gate
                    } else if in_place[1] {
                        &up
                    } else {
                        &blank
                    });
                    if !in_place[0] {
                        run.floats(&gate);
                    }
                    if !in_place[1] {
                        run.floats(&up);
                    }
                    let found = run.go(params.grid()).floats(output);
                    close(&found, &expected, 1e-5, &format!("{activation:?} {rows} {width}"));
                }
            }
        });
    }
}
