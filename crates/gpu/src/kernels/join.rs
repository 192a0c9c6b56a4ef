//! A norm, the residual stream to which it is added, and the norm of that, all in one go.

use super::{Access, Grid, Program, round};
use crate::adapter::Tuning;

/// One workgroup a row.
pub(crate) const GRID: Grid = Grid::Tiles { per_tile: 1, rows: 1 };

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    /// Elements of a row.
    pub(crate) size: u32,
    pub(crate) input_stride: u32,
    pub(crate) stream_stride: u32,
    pub(crate) output_stride: u32,
    pub(crate) closing_epsilon: f32,
    pub(crate) epsilon: f32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![
            self.row_limit,
            self.size,
            self.input_stride,
            self.stream_stride,
            self.output_stride,
            self.closing_epsilon.to_bits(),
            self.epsilon.to_bits(),
        ]
    }
}

/// Bindings: the first norm's weight, the second one's, stream, output, and input unless it is the output.
/// `rounded` is the elements of a row whose norm is rounded, if it is.
pub(crate) fn program(in_place: bool, rounded: Option<usize>, tuning: &Tuning) -> Program {
    use Access::{Read, Write};
    let mut parts = vec![include_str!("join.wgsl")];
    parts.extend(rounded.map(|_| round::ROUNDING));
    Program::new(
        "join",
        &parts,
        &[
            ("THREADS", tuning.norm_threads),
            ("IN_PLACE", u32::from(in_place)),
            ("ROUND", u32::from(rounded.is_some())),
            ("BLOCKS", rounded.map_or(0, |size| size / round::BLOCK) as u32),
        ],
        [(2, Read), (3, Read), (4, Write), (5, Write)].into_iter().chain((!in_place).then_some((6, Read))),
    )
}

#[cfg(test)]
mod tests {
    use super::{GRID, Params, program};
    use crate::kernels::{add, rms_norm, round};
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    #[test]
    fn the_stream_grows_and_its_norm_follows() {
        each_gpu(|gpu| {
            for (rows, size, rounds) in [(1, 100usize, false), (3, 640, false), (17, 512, true), (1, 1, false)] {
                let mut random = Random::new(19);
                let (closing, weight) = (random.floats(size), random.floats(size));
                let input: Vec<_> = (0..rows).map(|_| random.floats(size)).collect();
                let stream: Vec<_> = (0..rows).map(|_| random.floats(size)).collect();
                let sums: Vec<_> = stream
                    .iter()
                    .zip(&input)
                    .map(|(stream, input)| add::plain(stream, &rms_norm::plain(input, &closing, 1e-6)))
                    .collect();
                let mut expected: Vec<_> = sums.iter().map(|sum| rms_norm::plain(sum, &weight, 1e-5)).collect();
                if rounds {
                    for row in &mut expected {
                        round::plain(row);
                    }
                }
                let stride = size.next_multiple_of(32);
                let params = Params {
                    row_limit: 32,
                    size: size as u32,
                    input_stride: stride as u32,
                    stream_stride: stride as u32,
                    output_stride: stride as u32,
                    closing_epsilon: 1e-6,
                    epsilon: 1e-5,
                };
                for in_place in [true, false] {
                    let program = program(in_place, rounds.then_some(size), &gpu.tuning);
                    let mut run = Run::new(gpu, &program, &params.words(), rows);
                    run.floats(&closing).floats(&weight);
                    let stream = run.output(&matrix(&stream, stride));
                    let input = matrix(&input, stride);
                    let output = run.output(if in_place { input.clone() } else { vec![0.0; input.len()] }.as_slice());
                    if !in_place {
                        run.floats(&input);
                    }
                    let found = run.go(GRID);
                    close(&found.floats(stream), &matrix(&sums, stride), 1e-5, "the stream");
                    // A value between two levels may go either way.
                    let tolerance = if rounds { 4.0 / 126.0 } else { 1e-4 };
                    close(&found.floats(output), &matrix(&expected, stride), tolerance, &format!("{rows} {size}"));
                }
            }
        });
    }
}
