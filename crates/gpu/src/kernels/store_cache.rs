//! Appends keys and values to a cache, as halves or as codes of eight bits.

use nearside_engine::backend::CacheFormat;

use super::round::WORD;
use super::{Access, ELEMENT_THREADS, Grid, Program};

pub(crate) struct Params {
    pub(crate) row_limit: u32,
    pub(crate) heads: u32,
    pub(crate) head_dim: u32,
    pub(crate) context: u32,
    /// In vectors of four, as `value_stride`.
    pub(crate) key_stride: u32,
    pub(crate) value_stride: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.row_limit, self.heads, self.head_dim, self.context, self.key_stride, self.value_stride]
    }

    pub(crate) fn grid(&self, format: CacheFormat) -> Grid {
        let parts = match format {
            CacheFormat::F16 => self.head_dim / 4,
            CacheFormat::Q8_0 => scale_words(self.head_dim as usize) as u32,
        };
        Grid::Elements { per_row: self.heads * parts, threads: ELEMENT_THREADS }
    }
}

/// Words of a head's codes at one position.
pub(crate) fn code_words(head_dim: usize, format: CacheFormat) -> usize {
    match format {
        CacheFormat::F16 => head_dim / 2,
        CacheFormat::Q8_0 => head_dim / 4,
    }
}

/// Words of a head's scales at one position, where there are any: two scales a word.
pub(crate) fn scale_words(head_dim: usize) -> usize {
    head_dim.div_ceil(64)
}

/// Bindings: key, value, keys, values, and for eight bits the scales of the keys and of the values.
pub(crate) fn program(format: CacheFormat) -> Program {
    use Access::{Read, Write};
    let coded = format == CacheFormat::Q8_0;
    Program::new(
        "store_cache",
        &[WORD, include_str!("store_cache.wgsl")],
        &[("THREADS", ELEMENT_THREADS), ("Q8", u32::from(coded))],
        [(2, Read), (3, Read), (4, Write), (5, Write)]
            .into_iter()
            .chain(coded.then_some([(6, Write), (7, Write)]).into_iter().flatten()),
    )
}

/// The scale and the codes of 32 elements.
fn block(values: &[f32]) -> (f32, Vec<i8>) {
    let scale = values.iter().fold(0.0f32, |most, value| most.max(value.abs())) / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    (
        half::f16::from_f32(scale).to_f32(),
        values.iter().map(|value| (value * inverse).round_ties_even() as i8).collect(),
    )
}

/// A row as it is read back from a cache.
pub(crate) fn kept(row: &[f32], head_dim: usize, format: CacheFormat) -> Vec<f32> {
    match format {
        CacheFormat::F16 => row.iter().map(|value| half::f16::from_f32(*value).to_f32()).collect(),
        CacheFormat::Q8_0 => row
            .chunks(head_dim)
            .flat_map(|head| head.chunks(32))
            .flat_map(|values| {
                let (scale, codes) = block(values);
                codes.into_iter().map(move |code| f32::from(code) * scale)
            })
            .collect(),
    }
}

/// The keys or the values of one layer.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct Plane {
    pub(crate) codes: Vec<u32>,
    pub(crate) scales: Vec<u32>,
    head_dim: usize,
    context: usize,
    format: CacheFormat,
}

#[cfg(test)]
impl Plane {
    pub(crate) fn new(heads: usize, head_dim: usize, context: usize, format: CacheFormat) -> Self {
        let places = heads * context;
        let scales = if format == CacheFormat::Q8_0 { places * scale_words(head_dim) } else { 0 };
        Self {
            codes: vec![0; places * code_words(head_dim, format)],
            scales: vec![0; scales],
            head_dim,
            context,
            format,
        }
    }

    /// Puts rows at `position` and after.
    pub(crate) fn store(&mut self, rows: &[Vec<f32>], position: usize) {
        let bits = |value: f32| u32::from(half::f16::from_f32(value).to_bits());
        for (row, values) in rows.iter().enumerate() {
            for (head, values) in values.chunks(self.head_dim).enumerate() {
                let place = head * self.context + position + row;
                let words = code_words(self.head_dim, self.format);
                let codes = &mut self.codes[place * words..][..words];
                if self.format == CacheFormat::F16 {
                    for (word, pair) in codes.iter_mut().zip(values.chunks(2)) {
                        *word = bits(pair[0]) | bits(pair[1]) << 16;
                    }
                    continue;
                }
                let scales = &mut self.scales[place * scale_words(self.head_dim)..][..scale_words(self.head_dim)];
                scales.fill(0);
                codes.fill(0);
                for (index, values) in values.chunks(32).enumerate() {
                    let (scale, bytes) = block(values);
                    scales[index / 2] |= bits(scale) << (16 * (index % 2));
                    for (element, code) in bytes.into_iter().enumerate() {
                        codes[index * 8 + element / 4] |= u32::from(code as u8) << (8 * (element % 4));
                    }
                }
            }
        }
    }
}

/// Fails unless all parts of so many bits are equal or neighbours: adapters may round either way.
#[cfg(test)]
pub(crate) fn neighbours(found: &[u32], expected: &[u32], bits: u32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for shift in (0..32).step_by(bits as usize) {
            let part = |word: u32| i64::from((word >> shift << (32 - bits)) as i32 >> (32 - bits));
            assert!((part(*found) - part(*expected)).abs() <= 1, "{found:x} is not {expected:x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::CacheFormat;

    use super::{Params, Plane, neighbours, program};
    use crate::testing::{Gpu, Random, Run, each_gpu, matrix};

    fn check(gpu: &Gpu, rows: usize, heads: usize, head_dim: usize, format: CacheFormat) {
        let (context, position) = (24, 5);
        let mut random = Random::new(8);
        let stride = (heads * head_dim).next_multiple_of(32);
        let mut keys: Vec<_> = (0..rows).map(|_| random.floats(heads * head_dim)).collect();
        let values: Vec<_> = (0..rows).map(|_| random.floats(heads * head_dim)).collect();
        // Nothing but zeros has no scale.
        keys[0][..8].fill(0.0);
        if head_dim >= 32 {
            keys[0][..32].fill(0.0);
        }
        let mut expected = [Plane::new(heads, head_dim, context, format), Plane::new(heads, head_dim, context, format)];
        let params = Params {
            row_limit: 32,
            heads: heads as u32,
            head_dim: head_dim as u32,
            context: context as u32,
            key_stride: stride as u32 / 4,
            value_stride: stride as u32 / 4,
        };
        let mut run = Run::new(gpu, &program(format), &params.words(), rows);
        run.step.position = position as u32;
        run.floats(&matrix(&keys, stride)).floats(&matrix(&values, stride));
        let mut outputs = vec![run.output_words(&expected[0].codes), run.output_words(&expected[1].codes)];
        if format == CacheFormat::Q8_0 {
            outputs.extend([run.output_words(&expected[0].scales), run.output_words(&expected[1].scales)]);
        }
        let found = run.go(params.grid(format));
        expected[0].store(&keys, position);
        expected[1].store(&values, position);
        let bits = if format == CacheFormat::F16 { 16 } else { 8 };
        neighbours(&found.words(outputs[0]), &expected[0].codes, bits);
        neighbours(&found.words(outputs[1]), &expected[1].codes, bits);
        if format == CacheFormat::Q8_0 {
            neighbours(&found.words(outputs[2]), &expected[0].scales, 16);
            neighbours(&found.words(outputs[3]), &expected[1].scales, 16);
        }
    }

    #[test]
    fn rows_land_at_their_position_of_their_head() {
        each_gpu(|gpu| {
            for (rows, heads, head_dim) in [(1, 3, 64usize), (3, 1, 8), (17, 2, 40)] {
                check(gpu, rows, heads, head_dim, CacheFormat::F16);
            }
            for (rows, heads, head_dim) in [(1, 3, 64usize), (3, 1, 32), (17, 2, 96), (2, 1, 256)] {
                check(gpu, rows, heads, head_dim, CacheFormat::Q8_0);
            }
        });
    }
}
