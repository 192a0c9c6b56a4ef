//! A norm, the residual stream to which it is added, and the norm of that, all in one go.

use super::{Grid, Program, rms_norm};
use crate::adapter::Tuning;

pub(crate) struct Params {
    /// The second norm, and where what is added comes from.
    pub(crate) norm: rms_norm::Params,
    pub(crate) stream_stride: u32,
    pub(crate) closing_epsilon: f32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        let mut words = self.norm.words();
        words.extend([self.stream_stride, self.closing_epsilon.to_bits()]);
        words
    }

    pub(crate) fn grid(&self) -> Grid {
        self.norm.grid()
    }
}

/// Bindings: the second norm's weight, output, input unless it is the output, the first norm's weight, and stream.
pub(crate) fn program(in_place: bool, tuning: &Tuning) -> Program {
    rms_norm::norm("join", true, in_place, tuning)
}

#[cfg(test)]
mod tests {
    use super::{Params, program};
    use crate::kernels::pair::Pair;
    use crate::kernels::rms_norm;
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    #[test]
    fn the_stream_grows_and_its_norm_follows() {
        each_gpu(|gpu| {
            for (rows, size) in [(1, 100usize), (3, 640), (17, 512), (1, 1)] {
                let mut random = Random::new(19);
                let (closing, weight) = (random.floats(size), random.floats(size));
                let input: Vec<_> = (0..rows).map(|_| random.floats(size)).collect();
                let stream: Vec<_> = (0..rows).map(|_| random.floats(size)).collect();
                let sums: Vec<_> = stream
                    .iter()
                    .zip(&input)
                    .map(|(stream, input)| Pair::Sum.plain(stream, &rms_norm::plain(input, &closing, 1e-6)))
                    .collect();
                let expected: Vec<_> = sums.iter().map(|sum| rms_norm::plain(sum, &weight, 1e-5)).collect();
                let stride = size.next_multiple_of(32);
                let norm = rms_norm::Params {
                    row_limit: 32,
                    groups: 1,
                    size: size as u32,
                    input_stride: stride as u32,
                    output_stride: stride as u32,
                    epsilon: 1e-5,
                };
                let params = Params { norm, stream_stride: stride as u32, closing_epsilon: 1e-6 };
                for in_place in [true, false] {
                    let program = program(in_place, &gpu.tuning);
                    let mut run = Run::new(gpu, &program, &params.words(), rows);
                    run.floats(&weight);
                    let input = matrix(&input, stride);
                    let output = run.output(if in_place { input.clone() } else { vec![0.0; input.len()] }.as_slice());
                    if !in_place {
                        run.floats(&input);
                    }
                    run.floats(&closing);
                    let stream = run.output(&matrix(&stream, stride));
                    let found = run.go(params.grid());
                    close(&found.floats(stream), &matrix(&sums, stride), 1e-5, "the stream");
                    close(&found.floats(output), &matrix(&expected, stride), 1e-4, &format!("{rows} {size}"));
                }
            }
        });
    }
}
