//! Every kernel of every instruction set that is here, bit for bit against plain sums over single weights.

use half::f16;

use super::float_kernels::Number;
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
            let mut unit = Unit::default();
            for quad in &mut unit.quads {
                // The outermost levels are as frequent as all others together.
                *quad = u32::from_le_bytes([(); 4].map(|()| match seeded.next() >> 4 & 3 {
                    0 => 0,
                    1 => mask,
                    _ => (seeded.next() >> 7) as u8 & mask,
                }));
            }
            // The smallest half floats are among the scales.
            let mut scale = || f16::from_f32(seeded.number() * if seeded.next() & 64 == 0 { 1e-6 } else { 0.1 });
            unit.scales = [scale(), scale()];
            unit.minimums = [scale(), scale()];
            if L::SCALES == 1 {
                unit.scales[1] = unit.scales[0];
                unit.minimums[1] = unit.minimums[0];
            }
            shape.put(panel, block, row, &unit);
            let kept = shape.get(panel, block, row);
            assert_eq!((kept.quads, kept.scales), (unit.quads, unit.scales), "what is put is there");
        }
    }
    let table = std::array::from_fn(|index| [0, 255, 128, 127, 1, 129, 77, 200][index % 8]);
    let bias = i32::from(isa.byte_bias());
    let offset = if byte || L::TABLE { bias } else { (mask / 2).into() };
    Sample { lines, shape, offset, table, signed: L::BYTE && bias == 0 }
}

fn plain<L: Layout>(sample: &Sample, row: usize, inputs: &[Input]) -> f32 {
    let panel = &lines_as_bytes(&sample.lines)[row / PANEL_ROWS * sample.shape.bytes()..];
    let mut total = 0.0f32;
    for (block, input) in inputs.iter().enumerate() {
        let unit = sample.shape.get(panel, block, row % PANEL_ROWS);
        let level = |index: usize| {
            let stored = unit.quads[index / 4].to_le_bytes()[index % 4];
            let level = if L::TABLE { sample.table[usize::from(stored)] } else { stored };
            i32::from(if sample.signed { i16::from(level as i8) } else { level.into() }) - sample.offset
        };
        let columns = BLOCK / L::SCALES;
        for half in 0..L::SCALES {
            let range = half * columns..(half + 1) * columns;
            let product: i32 = range.clone().map(|index| level(index) * i32::from(input.steps[index])).sum();
            let sum: i32 = range.map(|index| i32::from(input.steps[index])).sum();
            total += product as f32 * (unit.scales[half].to_f32() * input.scale);
            if L::MINIMUMS {
                total += unit.minimums[half].to_f32() * (input.scale * sum as f32);
            }
        }
    }
    total
}

fn equal<L: Layout>(isa: Isa, blocks: usize, input_rows: usize) {
    let panels = 3;
    let sample = sample::<L>(isa, panels, blocks, (blocks * 7 + input_rows) as u32);
    let view = Panels {
        bytes: lines_as_bytes(&sample.lines),
        shape: sample.shape,
        offset: sample.offset,
        table: &sample.table,
    };
    let values: Vec<f32> = numbers(input_rows * blocks * BLOCK, 5).iter().map(|value| value * value * value).collect();
    let mut inputs = vec![Input::ZERO; input_rows * blocks];
    isa.quantize(&values, &mut inputs);
    let expected: Vec<Vec<u32>> = inputs
        .chunks(blocks)
        .map(|inputs| (0..panels * PANEL_ROWS).map(|row| plain::<L>(&sample, row, inputs).to_bits()).collect())
        .collect();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let case = format!("{} {} of {blocks} blocks, {input_rows} rows", isa.name(), std::any::type_name::<L>());
    for (inputs, expected) in inputs.chunks(blocks).zip(&expected) {
        // One row is missing from the last panel.
        let mut products = vec![0.0; 2 * PANEL_ROWS - 1];
        isa.matvec::<L>(view, 1, inputs, &mut products);
        assert_eq!(bits(&products), expected[PANEL_ROWS..3 * PANEL_ROWS - 1], "matvec {case}");
    }
    let (heads, lines) = Scratch::needs(blocks);
    let mut scratch = Scratch { heads: vec![0.0; heads], levels: vec![Line::ZERO; lines] };
    let mut products = vec![0.0; input_rows * PANEL_ROWS];
    isa.matmul::<L>(view, 2, &mut scratch, &inputs, &mut products);
    for (products, expected) in products.chunks(PANEL_ROWS).zip(&expected) {
        assert_eq!(bits(products), expected[2 * PANEL_ROWS..], "matmul {case}");
    }
}

#[test]
fn every_layout_multiplies_bit_for_bit_as_plain_sums_do() {
    for isa in Isa::all() {
        for layout in ALL_LAYOUTS {
            for (blocks, rows) in [(1, 1), (2, 3), (3, 4), (5, 8), (7, 9), (18, 17), (33, 2)] {
                with_layout!(*layout, L => equal::<L>(isa, blocks, rows));
            }
        }
    }
}

#[test]
fn inputs_are_rounded_the_same_everywhere() {
    let mut values = numbers(32 * 40, 11);
    values[32..64].fill(0.0);
    values[64..96].fill(1e-42);
    values[100] = 1e30;
    let mut plain = vec![Input::ZERO; 40];
    input::quantize(&values, &mut plain);
    for isa in Isa::all() {
        let mut inputs = vec![Input::ZERO; 40];
        isa.quantize(&values, &mut inputs);
        assert_eq!(inputs, plain, "{}", isa.name());
    }
    for (values, input) in values.chunks(32).zip(&plain) {
        assert_eq!(
            input.sums.iter().map(|sum| i32::from(*sum)).sum::<i32>(),
            input.steps.iter().map(|step| i32::from(*step)).sum::<i32>()
        );
        for (value, step) in values.iter().zip(input.steps) {
            assert!((value - f32::from(step) * input.scale).abs() <= input.scale * 0.501 + 1e-40, "{value} {step}");
        }
    }
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
