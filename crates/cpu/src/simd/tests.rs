//! Every kernel of every instruction set that is here, bit for bit against plain sums over single weights.

use half::f16;

use super::float_kernels::Number;
use super::input::{Input, SplitSums, WideInput};
use super::layout::ALL_LAYOUTS;
use super::*;

/// A source of numbers that are the same every time.
pub(crate) struct Seeded(pub(crate) u32);

impl Seeded {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    /// Between -1 and 1.
    pub(crate) fn number(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 23) as f32 - 1.0
    }
}

pub(crate) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut seeded = Seeded(seed);
    (0..count).map(|_| seeded.number()).collect()
}

pub(crate) fn close(left: f32, right: f32, size: f32) -> bool {
    (left - right).abs() <= 1e-5 * size.max(1.0)
}

struct Sample {
    lines: Vec<Line>,
    shape: PanelShape,
    offset: i32,
    table: [u8; 16],
    signed: bool,
}

fn sample<L: Layout>(isa: Isa, panels: usize, blocks: usize, seed: u32) -> Sample {
    let shape = PanelShape::of::<L>(blocks);
    let mut lines = vec![Line::ZERO; panels * shape.bytes() / LINE];
    let mut seeded = Seeded(seed);
    let (byte, mask) = (L::BITS == 8, (0xff >> (8 - L::BITS)) as u8);
    for panel in lines_as_bytes_mut(&mut lines).chunks_exact_mut(shape.bytes()) {
        for (block, row) in (0..blocks).flat_map(|block| (0..PANEL_ROWS).map(move |row| (block, row))) {
            let mut unit = Unit::ZERO;
            for quad in unit.quads[..L::COLUMNS / 32].as_flattened_mut() {
                // The outermost levels are as frequent as all others together.
                *quad = u32::from_le_bytes([(); 4].map(|()| match seeded.next() >> 4 & 3 {
                    0 => 0,
                    1 => mask,
                    _ => (seeded.next() >> 7) as u8 & mask,
                }));
            }
            // The smallest half floats are among the scales.
            let mut scale = || f16::from_f32(seeded.number() * if seeded.next() & 64 == 0 { 1e-6 } else { 0.1 });
            unit.scale = scale();
            if L::MINIMUMS {
                unit.minimum = scale();
            }
            if L::PARTS > 1 {
                for part in 0..L::PARTS {
                    unit.steps[part] = [-128, 127, (seeded.next() >> 8) as i8][(seeded.next() >> 5) as usize % 3];
                    if L::MINIMUMS {
                        unit.belows[part] = (seeded.next() >> 8) as u8 & 63;
                    }
                }
            }
            shape.put(panel, block, row, &unit);
            assert_eq!(shape.get(panel, block, row), unit, "what is put is there");
        }
    }
    let table = std::array::from_fn(|index| [0, 255, 128, 127, 1, 129, 77, 200][index % 8]);
    let bias = i32::from(isa.byte_bias());
    let offset = match (L::MINIMUMS, byte || L::TABLE) {
        (true, _) => 0,
        (false, true) => bias,
        (false, false) => (mask / 2).into(),
    };
    Sample { lines, shape, offset, table, signed: L::BYTE && bias == 0 }
}

/// What one scale of inputs goes with: it, and the integers.
struct Block {
    scale: f32,
    steps: Vec<i32>,
}

fn plain<L: Layout>(sample: &Sample, row: usize, inputs: &[Block]) -> f32 {
    let panel = &lines_as_bytes(&sample.lines)[row / PANEL_ROWS * sample.shape.bytes()..];
    let mut total = 0.0f32;
    for (block, input) in inputs.iter().enumerate() {
        let unit = sample.shape.get(panel, block, row % PANEL_ROWS);
        let level = |index: usize| {
            let stored = unit.quads[index / 32][index % 32 / 4].to_le_bytes()[index % 4];
            let level = if L::TABLE { sample.table[usize::from(stored)] } else { stored };
            i32::from(if sample.signed { i16::from(level as i8) } else { level.into() }) - sample.offset
        };
        let (mut product, mut below) = (0, 0);
        for part in 0..L::PARTS {
            let range = part * L::COLUMNS / L::PARTS..(part + 1) * L::COLUMNS / L::PARTS;
            let sum: i32 = range.clone().map(|index| level(index) * input.steps[index]).sum();
            product += i32::from(unit.steps[part]) * sum;
            below += i32::from(unit.belows[part]) * input.steps[range].iter().sum::<i32>();
        }
        let scale = input.scale * if L::PARTS > 1 { FACTOR } else { 1.0 };
        total += product as f32 * (unit.scale.to_f32() * scale);
        if L::PARTS > 1 && L::MINIMUMS {
            total += below as f32 * (unit.minimum.to_f32() * scale);
        } else if L::MINIMUMS {
            total += unit.minimum.to_f32() * (scale * below as f32);
        }
    }
    total
}

const FACTOR: f32 = 0.125;

fn equal<L: Layout>(isa: Isa, blocks: usize, input_rows: usize, block_of: fn(&L::Input) -> Block) {
    let panels = 3;
    let sample = sample::<L>(isa, panels, blocks, (blocks * 7 + input_rows) as u32);
    let view = Panels {
        bytes: lines_as_bytes(&sample.lines),
        shape: sample.shape,
        offset: sample.offset,
        factor: FACTOR,
        table: &sample.table,
    };
    let count = input_rows * blocks * L::COLUMNS;
    let values: Vec<f32> = numbers(count, 5).iter().map(|value| value * value * value).collect();
    let mut inputs = vec![L::Input::ZERO; input_rows * blocks];
    isa.round(&values, &mut inputs);
    let expected: Vec<Vec<u32>> = inputs
        .chunks(blocks)
        .map(|inputs| {
            let inputs: Vec<Block> = inputs.iter().map(block_of).collect();
            (0..panels * PANEL_ROWS).map(|row| plain::<L>(&sample, row, &inputs).to_bits()).collect()
        })
        .collect();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let case = format!("{} {} of {blocks} blocks, {input_rows} rows", isa.name(), std::any::type_name::<L>());
    for (inputs, expected) in inputs.chunks(blocks).zip(&expected) {
        // One row is missing from the last panel.
        let mut products = vec![0.0; 2 * PANEL_ROWS - 1];
        isa.matvec::<L>(view, 1, inputs, &mut products);
        assert_eq!(bits(&products), expected[PANEL_ROWS..3 * PANEL_ROWS - 1], "matvec {case}");
    }
    let mut room = vec![Line::ZERO; unpacked_lines(&sample.shape)];
    let mut products = vec![0.0; input_rows * PANEL_ROWS];
    isa.matmul::<L>(view, 2, &mut room, &inputs, &mut products);
    for (products, expected) in products.chunks(PANEL_ROWS).zip(&expected) {
        assert_eq!(bits(products), expected[2 * PANEL_ROWS..], "matmul {case}");
    }
    products.fill(f32::NAN);
    isa.few::<L>(view, 1, &inputs, &mut products);
    for (products, expected) in products.chunks(PANEL_ROWS).zip(&expected) {
        assert_eq!(bits(products), expected[PANEL_ROWS..2 * PANEL_ROWS], "few {case}");
    }
}

trait Plainly: Rounding {
    fn block(&self) -> Block;
}

impl Plainly for Input {
    fn block(&self) -> Block {
        Block { scale: self.scale, steps: self.steps.map(i32::from).into() }
    }
}

impl Plainly for WideInput {
    fn block(&self) -> Block {
        Block { scale: self.scale, steps: self.steps.map(i32::from).into() }
    }
}

#[test]
fn every_layout_multiplies_bit_for_bit_as_plain_sums_do() {
    for isa in Isa::all() {
        for layout in ALL_LAYOUTS {
            for (blocks, rows) in [(1, 1), (2, 3), (3, 4), (5, 8), (7, 9), (18, 17), (33, 2)] {
                with_layout!(*layout, L => {
                    if L::PARTS == 1 || blocks < 8 {
                        equal::<L>(isa, blocks, rows, Plainly::block);
                    }
                });
            }
        }
    }
}

/// Rounds numbers with every instruction set, each the same.
fn rounded<I: Rounding>(values: &[f32]) -> Vec<I> {
    let mut plain = vec![I::ZERO; values.len() / I::COLUMNS];
    I::round(values, &mut plain);
    for isa in Isa::all() {
        let mut inputs = vec![I::ZERO; plain.len()];
        isa.round(values, &mut inputs);
        assert_eq!(inputs, plain, "{}", isa.name());
    }
    plain
}

fn difficult(width: usize) -> Vec<f32> {
    let mut values = numbers(width * 40, 11);
    values[width..2 * width].fill(0.0);
    values[2 * width..3 * width].fill(1e-42);
    values[3 * width + 4] = 1e30;
    values
}

#[test]
fn inputs_are_rounded_the_same_everywhere() {
    let values = difficult(32);
    for (values, input) in values.chunks(32).zip(rounded::<Input>(&values)) {
        assert_eq!(input.sum, input.steps.iter().map(|step| i32::from(*step)).sum::<i32>());
        for (value, step) in values.iter().zip(input.steps) {
            assert!((value - f32::from(step) * input.scale).abs() <= input.scale * 0.501 + 1e-40, "{value} {step}");
        }
    }
}

#[test]
fn wide_inputs_are_rounded_the_same_everywhere() {
    let values = difficult(256);
    for (values, input) in values.chunks(256).zip(rounded::<WideInput>(&values)) {
        for (value, step) in values.iter().zip(input.steps) {
            let error = (value - f32::from(step) * input.scale).abs();
            assert!(error <= input.scale.abs() * 0.501 + 1e-40, "{value} {step}");
        }
        let sums = |width: usize| {
            let sum = |steps: &[i8]| steps.iter().map(|step| i32::from(*step)).sum::<i32>();
            input.steps.chunks(width).map(sum).collect::<Vec<_>>()
        };
        let join = |(low, high): (&i8, &i8)| i32::from(*low) + 128 * i32::from(*high);
        assert_eq!(input.sums.map(i32::from)[..], sums(16));
        let SplitSums { low, high } = &input.sixteenths;
        assert_eq!(low.iter().zip(high).map(join).collect::<Vec<_>>(), sums(16));
        let SplitSums { low, high } = &input.eighths;
        assert_eq!(low.iter().zip(high).map(join).collect::<Vec<_>>(), sums(32));
    }
    // The largest number is a whole number of steps, and the first of two of its size decides the sign.
    let mut values = [0.25f32; 256];
    (values[7], values[9]) = (2.0, -2.0);
    let [input] = rounded::<WideInput>(&values)[..] else { panic!("one block") };
    assert_eq!((input.steps[7], input.steps[9], input.steps[0]), (-127, 127, -16));
}

fn float_products<N: Number>(isa: Isa, store: fn(f32) -> Vec<u8>, load: fn(&[u8]) -> f32) {
    for (columns, rows) in [(1, 1), (3, 2), (4, 4), (37, 5), (64, 9)] {
        let bytes: Vec<u8> = numbers(columns * PANEL_ROWS, 3).into_iter().flat_map(store).collect();
        let inputs = numbers(columns * rows, 4);
        let mut products = vec![0.0; rows * PANEL_ROWS];
        isa.float_products::<N>(&bytes, columns, &inputs, &mut products);
        for (index, product) in products.iter().enumerate() {
            let (input, row) = (index / PANEL_ROWS, index % PANEL_ROWS);
            let mut sums = [0.0f32; 4];
            for column in 0..columns {
                let weight = load(&bytes[(column * PANEL_ROWS + row) * N::BYTES..][..N::BYTES]);
                sums[column % 4] += weight * inputs[input * columns + column];
            }
            let expected = (sums[0] + sums[1]) + (sums[2] + sums[3]);
            assert_eq!(product.to_bits(), expected.to_bits(), "{} {columns} columns, {rows} rows", isa.name());
        }
    }
}

#[test]
fn numbers_multiply_bit_for_bit_as_plain_sums_do() {
    use half::bf16;
    for isa in Isa::all() {
        float_products::<Single>(
            isa,
            |value| value.to_le_bytes().into(),
            |bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        );
        float_products::<Half>(
            isa,
            |value| f16::from_f32(value).to_le_bytes().into(),
            |bytes| f16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        );
        float_products::<Brain>(
            isa,
            |value| bf16::from_f32(value).to_le_bytes().into(),
            |bytes| bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        );
    }
}
