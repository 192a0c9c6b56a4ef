//! Root-mean-square norm of whole rows or of each head.

use super::{Access, Grid, Program, reduce};
use crate::adapter::Tuning;

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    /// Groups in a row.
    pub(crate) groups: u32,
    /// Elements in a group.
    pub(crate) size: u32,
    pub(crate) input_stride: u32,
    pub(crate) output_stride: u32,
    pub(crate) epsilon: f32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.row_limit, self.groups, self.size, self.input_stride, self.output_stride, self.epsilon.to_bits()]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Tiles { per_tile: self.groups, rows: 1 }
    }
}

/// Bindings: weight, output, and input unless it is the output.
pub(crate) fn program(in_place: bool, tuning: &Tuning) -> Program {
    norm("rms_norm", false, in_place, tuning)
}

/// A norm by itself, or between a stream and what joins it; then the first norm's weight and the stream are bound too.
pub(super) fn norm(label: &'static str, joins: bool, in_place: bool, tuning: &Tuning) -> Program {
    use Access::{Read, Write};
    let joins = u32::from(joins);
    let mut definitions = vec![("THREADS", tuning.norm_threads), ("IN_PLACE", u32::from(in_place)), ("JOINS", joins)];
    definitions.extend(reduce::whole(1, 1 + joins, tuning));
    let bindings = [(2, Read), (3, Write)].into_iter().chain((!in_place).then_some((4, Read)));
    let joined = [(5, Read), (6, Write)].into_iter().take(if joins == 1 { 2 } else { 0 });
    Program::new(label, &[reduce::WHOLE, include_str!("norm.wgsl")], &definitions, bindings.chain(joined))
}

/// The norm of every `weight.len()` elements.
pub(crate) fn plain(row: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    row.chunks(weight.len())
        .flat_map(|group| {
            let sum: f32 = group.iter().map(|value| value * value).sum();
            let factor = 1.0 / (sum / group.len() as f32 + epsilon).sqrt();
            group.iter().zip(weight).map(move |(value, weight)| value * factor * weight)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Params, plain, program};
    use crate::testing::{Random, Run, close, each_gpu, matrix};

    #[test]
    fn rows_and_heads_are_normalised_in_place_or_not() {
        each_gpu(|gpu| {
            for (rows, groups, size) in [(1, 1, 576usize), (3, 1, 100), (17, 3, 24), (3, 5, 7), (1, 1, 1)] {
                let mut random = Random::new(3);
                let width = groups * size;
                let stride = width.next_multiple_of(32);
                let weight = random.floats(size);
                let input: Vec<_> = (0..rows).map(|_| random.floats(width)).collect();
                let expected: Vec<_> = input.iter().map(|row| plain(row, &weight, 1e-5)).collect();
                let params = Params {
                    row_limit: 32,
                    groups: groups as u32,
                    size: size as u32,
                    input_stride: stride as u32,
                    output_stride: stride as u32,
                    epsilon: 1e-5,
                };
                for in_place in [false, true] {
                    let mut run = Run::new(gpu, &program(in_place, &gpu.tuning), &params.words(), rows);
                    run.floats(&weight);
                    let input = matrix(&input, stride);
                    let output = run.output(if in_place { input.clone() } else { vec![0.0; input.len()] }.as_slice());
                    if !in_place {
                        run.floats(&input);
                    }
                    let found = run.go(params.grid()).floats(output);
                    close(&found, &matrix(&expected, stride), 1e-5, &format!("{rows} {groups} {size} {in_place}"));
                }
            }
        });
    }
}
