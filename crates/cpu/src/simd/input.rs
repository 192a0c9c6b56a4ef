//! Inputs as 8-bit integers, rounded as llama.cpp rounds them: with a scale for each block of the weights that
//! they are multiplied with.

use super::layout::{BLOCK, WIDE_BLOCK};

/// A block of inputs as integers.
pub(crate) trait Rounding: Copy + PartialEq + std::fmt::Debug + Send + Sync + 'static {
    /// How many inputs.
    const COLUMNS: usize;
    /// Nothing but zeros.
    const ZERO: Self;

    /// Turns whole blocks of numbers into inputs.
    fn round(values: &[f32], inputs: &mut [Self]);

    /// Where blocks of this width are kept.
    fn kept(rounded: &mut Rounded) -> &mut Kept<Self>;
}

/// The same inputs in blocks of both widths, each made when a product first asks for it.
#[derive(Debug, Default)]
pub(crate) struct Rounded {
    narrow: Kept<Input>,
    wide: Kept<WideInput>,
}

/// Blocks of one width.
#[derive(Debug)]
pub(crate) struct Kept<I> {
    pub(crate) inputs: Vec<I>,
    /// Whether they are of the inputs that products ask for now.
    pub(crate) current: bool,
}

impl<I> Default for Kept<I> {
    fn default() -> Self {
        Self { inputs: Vec::new(), current: false }
    }
}

impl Rounded {
    /// Other inputs follow.
    pub(crate) fn forget(&mut self) {
        self.narrow.current = false;
        self.wide.current = false;
    }
}

/// 32 inputs with one scale.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub(crate) struct Input {
    /// What one step of the integers is worth.
    pub(crate) scale: f32,
    /// The sum of the integers: what offsets and minimums are multiplied with.
    pub(crate) sum: i32,
    /// The integers, within ±127.
    pub(crate) steps: [i8; BLOCK],
}

/// 256 inputs with one scale.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub(crate) struct WideInput {
    /// What one step of the integers is worth; it may be negative.
    pub(crate) scale: f32,
    /// The sums of each 16 integers.
    pub(crate) sums: [i16; 16],
    /// The sums of each 16 and of each 32, as `low + 128 * high`, so that they multiply as inputs do.
    pub(crate) sixteenths: SplitSums<16>,
    pub(crate) eighths: SplitSums<8>,
    /// The integers, within ±127.
    pub(crate) steps: [i8; WIDE_BLOCK],
}

/// Sums in two bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub(crate) struct SplitSums<const COUNT: usize> {
    pub(crate) low: [i8; COUNT],
    pub(crate) high: [i8; COUNT],
}

impl<const COUNT: usize> SplitSums<COUNT> {
    const ZERO: Self = Self { low: [0; COUNT], high: [0; COUNT] };

    #[inline(always)]
    fn of(sums: [i16; COUNT]) -> Self {
        Self { low: sums.map(|sum| (sum & 127) as i8), high: sums.map(|sum| (sum >> 7) as i8) }
    }
}

impl WideInput {
    /// The sum of the integers of one of `parts` parts.
    #[inline(always)]
    pub(super) fn sum(&self, parts: usize, part: usize) -> i32 {
        if parts == 16 {
            i32::from(self.sums[part])
        } else {
            i32::from(self.sums[2 * part]) + i32::from(self.sums[2 * part + 1])
        }
    }
}

/// Rounds to the nearest integers. Adding the constant leaves the rounded integer in the lowest bits, where
/// `round` would be a call.
#[inline(always)]
fn nearest<const COUNT: usize>(values: &[f32; COUNT], inverse: f32) -> [i8; COUNT] {
    const ROUNDING: f32 = 12_582_912.0;
    values.map(|value| (value * inverse + ROUNDING).to_bits().wrapping_sub(ROUNDING.to_bits()) as i8)
}

/// The largest size of any number.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let mut largest = [0.0f32; 8];
    for values in values.as_chunks::<8>().0 {
        for (largest, value) in largest.iter_mut().zip(values) {
            let size = value.abs();
            *largest = if size > *largest { size } else { *largest };
        }
    }
    largest.into_iter().fold(0.0f32, |most, value| if value > most { value } else { most })
}

impl Rounding for Input {
    const COLUMNS: usize = BLOCK;
    const ZERO: Self = Self { scale: 0.0, sum: 0, steps: [0; BLOCK] };

    #[inline(always)]
    fn round(values: &[f32], inputs: &mut [Self]) {
        for (values, input) in values.as_chunks::<BLOCK>().0.iter().zip(inputs) {
            let scale = largest(values) / 127.0;
            // The inverse of the smallest scales is infinite.
            let inverse = if scale > 1e-37 { 1.0 / scale } else { 0.0 };
            input.scale = scale;
            input.steps = nearest(values, inverse);
            input.sum = input.steps.iter().map(|step| i32::from(*step)).sum();
        }
    }

    fn kept(rounded: &mut Rounded) -> &mut Kept<Self> {
        &mut rounded.narrow
    }
}

impl Rounding for WideInput {
    const COLUMNS: usize = WIDE_BLOCK;
    const ZERO: Self = Self {
        scale: 0.0,
        sums: [0; 16],
        sixteenths: SplitSums::ZERO,
        eighths: SplitSums::ZERO,
        steps: [0; WIDE_BLOCK],
    };

    #[inline(always)]
    fn round(values: &[f32], inputs: &mut [Self]) {
        for (values, input) in values.as_chunks::<WIDE_BLOCK>().0.iter().zip(inputs) {
            let size = largest(values);
            // The first number of that size becomes -127 exactly, whatever its sign.
            let first = values.iter().copied().find(|value| value.abs() >= size).unwrap_or(0.0);
            let inverse = if size > 1e-35 { -127.0 / first } else { 0.0 };
            input.scale = if size > 1e-35 { 1.0 / inverse } else { 0.0 };
            for (values, steps) in values.as_chunks::<16>().0.iter().zip(input.steps.as_chunks_mut::<16>().0) {
                *steps = nearest(values, inverse);
            }
            for (steps, sum) in input.steps.as_chunks::<16>().0.iter().zip(&mut input.sums) {
                *sum = steps.iter().map(|step| i16::from(*step)).sum();
            }
            input.sixteenths = SplitSums::of(input.sums);
            input.eighths =
                SplitSums::of(std::array::from_fn(|index| input.sums[2 * index] + input.sums[2 * index + 1]));
        }
    }

    fn kept(rounded: &mut Rounded) -> &mut Kept<Self> {
        &mut rounded.wide
    }
}
