//! No instruction set: arrays, which a compiler may turn into vectors.

use half::{bf16, f16};

use super::lanes::{Lanes, instructions};

/// Rows in an array.
const COUNT: usize = 4;

/// Four rows.
#[derive(Clone, Copy)]
pub(super) struct Plain;

type Bytes = [u8; 4 * COUNT];

/// Each row's integer.
#[inline(always)]
fn rows(bytes: Bytes) -> [i32; COUNT] {
    std::array::from_fn(|row| i32::from_le_bytes(std::array::from_fn(|byte| bytes[4 * row + byte])))
}

#[inline(always)]
fn bytes(rows: [i32; COUNT]) -> Bytes {
    std::array::from_fn(|index| rows[index / 4].to_le_bytes()[index % 4])
}

fn integers(bytes: Bytes, change: impl Fn(u32) -> u32) -> Bytes {
    let mut result = bytes;
    for row in result.as_chunks_mut::<4>().0 {
        *row = change(u32::from_le_bytes(*row)).to_le_bytes();
    }
    result
}

impl Lanes for Plain {
    const COUNT: usize = COUNT;
    const HALF_UNIT: f32 = 1.0;
    const ROLLED: bool = false;
    const STRIP: usize = 1;
    const AHEAD: usize = 4096;
    type Int = Bytes;
    type Float = [f32; COUNT];
    type Sums = [i32; COUNT];

    instructions! {
        fn load(from: *const u8) -> Bytes => from.cast::<Bytes>().read_unaligned();
        fn store(bytes: Bytes, to: *mut u8) => to.cast::<Bytes>().write_unaligned(bytes);
        fn inputs(from: *const i8) -> Bytes => {
            let four = from.cast::<[u8; 4]>().read_unaligned();
            std::array::from_fn(|index| four[index % 4])
        };
        fn table(from: *const u8) -> Bytes => from.cast::<Bytes>().read_unaligned();
        fn floats(from: *const f32) -> [f32; COUNT] => from.cast::<[f32; COUNT]>().read_unaligned();
        fn store_floats(values: [f32; COUNT], to: *mut f32) => to.cast::<[f32; COUNT]>().write_unaligned(values);
        fn halves(from: *const u8, _mask: Bytes) -> [f32; COUNT] => {
            from.cast::<[u16; COUNT]>().read_unaligned().map(|bits| f16::from_bits(bits).to_f32())
        };
        fn top_bytes(from: *const u8) -> Bytes => {
            bytes(rows(from.cast::<Bytes>().read_unaligned()).map(|row| row >> 24))
        };
        fn upper_halves(from: *const u8) -> [f32; COUNT] => {
            from.cast::<[u16; COUNT]>().read_unaligned().map(|bits| bf16::from_bits(bits).to_f32())
        };
    }

    #[inline(always)]
    unsafe fn prefetch(_from: *const u8, _bytes: usize) {}

    #[inline(always)]
    unsafe fn look_up(table: Bytes, indices: Bytes) -> Bytes {
        indices.map(|index| table[usize::from(index & 15)])
    }

    #[inline(always)]
    unsafe fn right<const BITS: i32>(value: Bytes) -> Bytes {
        integers(value, |value| value >> BITS)
    }

    #[inline(always)]
    unsafe fn left<const BITS: i32>(value: Bytes) -> Bytes {
        integers(value, |value| value << BITS)
    }

    #[inline(always)]
    unsafe fn mask(value: u32) -> Bytes {
        integers([0; 4 * COUNT], |_| value)
    }

    #[inline(always)]
    unsafe fn and(one: Bytes, other: Bytes) -> Bytes {
        std::array::from_fn(|index| one[index] & other[index])
    }

    #[inline(always)]
    unsafe fn or(one: Bytes, other: Bytes) -> Bytes {
        std::array::from_fn(|index| one[index] | other[index])
    }

    #[inline(always)]
    unsafe fn start(value: i32) -> [i32; COUNT] {
        [value; COUNT]
    }

    #[inline(always)]
    unsafe fn dot(_byte: bool, sums: [i32; COUNT], levels: Bytes, inputs: Bytes) -> [i32; COUNT] {
        std::array::from_fn(|row| {
            let product = |index: usize| i32::from(levels[index] as i8) * i32::from(inputs[index] as i8);
            sums[row] + (4 * row..4 * row + 4).map(product).sum::<i32>()
        })
    }

    #[inline(always)]
    unsafe fn whole(sums: [i32; COUNT]) -> Bytes {
        bytes(sums)
    }

    #[inline(always)]
    unsafe fn product(one: Bytes, other: Bytes) -> Bytes {
        let (one, other) = (rows(one), rows(other));
        bytes(std::array::from_fn(|row| one[row].wrapping_mul(other[row])))
    }

    #[inline(always)]
    unsafe fn sum(one: Bytes, other: Bytes) -> Bytes {
        let (one, other) = (rows(one), rows(other));
        bytes(std::array::from_fn(|row| one[row].wrapping_add(other[row])))
    }

    #[inline(always)]
    unsafe fn number(value: Bytes) -> [f32; COUNT] {
        rows(value).map(|value| value as f32)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; COUNT] {
        [value; COUNT]
    }

    #[inline(always)]
    unsafe fn multiply(one: [f32; COUNT], other: [f32; COUNT]) -> [f32; COUNT] {
        std::array::from_fn(|row| one[row] * other[row])
    }

    #[inline(always)]
    unsafe fn add(one: [f32; COUNT], other: [f32; COUNT]) -> [f32; COUNT] {
        std::array::from_fn(|row| one[row] + other[row])
    }
}
