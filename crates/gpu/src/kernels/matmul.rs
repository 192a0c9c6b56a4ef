//! Products with a weight matrix: row by row for few tokens, in tiles for many.

use super::stage::Stage;
use super::tiles::Tile;
use super::{Access, Grid, Program, reduce, round};
use crate::adapter::Tuning;
use crate::quants::{PACKED, Packing};
use crate::template::Definition;

/// What the products share in WGSL.
const PRODUCT: &str = include_str!("product.wgsl");

/// Invocations of the kernel for few tokens when a row is not split.
const UNSPLIT_THREADS: u32 = 32;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Params {
    pub(crate) row_limit: u32,
    /// Units of 32 elements in a weight row.
    pub(crate) units: u32,
    /// Groups of 16 weight rows in this piece.
    pub(crate) groups: u32,
    /// Weight rows in this piece.
    pub(crate) rows: u32,
    /// The piece's first row.
    pub(crate) first_row: u32,
    /// In vectors of four, or in units of packed inputs.
    pub(crate) input_stride: u32,
    pub(crate) output_stride: u32,
    pub(crate) residual_stride: u32,
    pub(crate) scale: f32,
    /// Where the piece begins in what is bound, in groups.
    pub(crate) first_group: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![
            self.row_limit,
            self.units,
            self.groups,
            self.rows,
            self.first_row,
            self.input_stride,
            self.output_stride,
            self.residual_stride,
            self.scale.to_bits(),
            self.first_group,
        ]
    }
}

/// How the products of few tokens are shared out and computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    /// Weight rows of one invocation.
    pub(crate) rows: u32,
    /// Slices of a row.
    pub(crate) slices: u32,
    /// Whether they are of packed integers, where weights are.
    pub(crate) packed: bool,
}

impl Split {
    /// For one token.
    pub(crate) fn single(units: u32, tuning: &Tuning) -> Self {
        // A slice should have some units of its own, or the reduction costs more than it gains.
        let slices = (units / 2).max(1).ilog2();
        Self { rows: tuning.rows, slices: (1 << slices).min(tuning.split), packed: tuning.packed }
    }

    /// Groups of rows of one workgroup.
    pub(super) fn groups(self) -> u32 {
        threads(self.slices) / (16 * self.slices) * self.rows
    }

    /// What a kernel is told of it that finds so many sums of each row. Sixteen rows lie side by side.
    pub(super) fn definitions(self, sums: u32) -> Vec<Definition> {
        let own = [("THREADS", threads(self.slices)), ("ROWS", self.rows)];
        own.into_iter().chain(reduce::slices(self.slices, 16, self.rows * sums)).collect()
    }
}

/// What is added to the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Residual {
    None,
    Separate,
    Output,
}

/// Which kernel, and its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many tokens for each invocation.
    Rows { tokens: u32, split: Split },
    /// Many of both, with workgroup memory.
    Tiled(Tile),
}

impl Shape {
    /// The shape for one token.
    pub(crate) fn single(units: u32, tuning: &Tuning) -> Self {
        Self::Rows { tokens: 1, split: Split::single(units, tuning) }
    }

    /// The shape for a few, where it is not the one for several: a tile of so few is mostly empty.
    pub(crate) fn few(units: u32, tuning: &Tuning) -> Option<Self> {
        tuning.tiles.map(|_| Self::Rows { tokens: tuning.tokens, split: Split::single(units, tuning) })
    }

    /// The shape for several, of a matrix of so many rows.
    pub(crate) fn many(packing: &Packing, rows: usize, tuning: &Tuning) -> Self {
        if let Some(tiles) = tuning.tiles {
            return Self::Tiled(tiles.fitting(packing, rows));
        }
        let split = Split { rows: tuning.rows, slices: 1, packed: tuning.packed };
        Self::Rows { tokens: tuning.tokens, split }
    }

    /// How many elements share a scale in what has to be packed before, if the input has.
    pub(crate) fn packed(self, packing: &Packing) -> Option<usize> {
        round::block(packing).filter(|_| matches!(self, Self::Tiled(_)))
    }

    pub(crate) fn grid(self, params: &Params) -> Grid {
        match self {
            Self::Rows { tokens, split } => {
                Grid::Tiles { per_tile: params.groups.div_ceil(split.groups()), rows: tokens }
            }
            Self::Tiled(tile) => Grid::Tiles { per_tile: params.rows.div_ceil(tile.rows()), rows: tile.tokens() },
        }
    }
}

fn threads(split: u32) -> u32 {
    (16 * split).max(UNSPLIT_THREADS)
}

/// Bindings: quants, extras, input, output, bias if any, and residual if separate.
pub(crate) fn program(packing: &Packing, shape: Shape, bias: bool, residual: Residual) -> Program {
    use Access::{Read, Write};
    let added = [
        ("BIAS", u32::from(bias)),
        ("RESIDUAL", u32::from(residual == Residual::Separate)),
        ("RESIDUAL_IN_PLACE", u32::from(residual == Residual::Output)),
    ];
    let bindings = [(2, Read), (3, Read), (4, Read), (5, Write)]
        .into_iter()
        .chain(bias.then_some((6, Read)))
        .chain((residual == Residual::Separate).then_some((7, Read)));
    match shape {
        Shape::Rows { tokens, split } => {
            let unrolled = tokens * split.rows <= 4;
            let Stage { mut definitions, decoders, shared } = Stage::new(&[packing], tokens, split.packed);
            definitions.extend(split.definitions(tokens));
            definitions.extend([("UNROLLED", u32::from(unrolled)), ("PARTS", if unrolled { 4 } else { 1 })]);
            definitions.extend(added);
            let own = [PRODUCT, reduce::SLICES, include_str!("matvec.wgsl")];
            let parts: Vec<&str> = decoders.iter().map(String::as_str).chain(shared).chain(own).collect();
            Program::new("matvec", &parts, &definitions, bindings)
        }
        Shape::Tiled(tile) => {
            let mut definitions = tile.definitions(packing);
            definitions.extend(added);
            definitions.push(("INPUT_PACKED", u32::from(shape.packed(packing).is_some())));
            let shared = [PRODUCT, packing.shader, include_str!("tile.wgsl")];
            if tile.packed() {
                let parts = [&shared[..], &[PACKED, include_str!("matmul_packed.wgsl")]].concat();
                return Program::new("matmul_packed", &parts, &definitions, bindings);
            }
            let parts = [&shared[..], &[include_str!("matmul.wgsl")]].concat();
            Program::new("matmul", &parts, &definitions, bindings).with_halves(tile.halves())
        }
    }
}

/// `input · weightᵀ * scale + bias + residual` for one token.
pub(crate) fn plain(
    weight: &[Vec<f32>],
    input: &[f32],
    scale: f32,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
) -> Vec<f32> {
    weight
        .iter()
        .enumerate()
        .map(|(row, weight)| {
            let product: f64 = weight.iter().zip(input).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let added = bias.map_or(0.0, |bias| bias[row]) + residual.map_or(0.0, |residual| residual[row]);
            product as f32 * scale + added
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use nearside_gguf::DataType;

    use super::{Params, Residual, Shape, Split, plain, program};
    use crate::kernels::tiles::{self, Tile};
    use crate::kernels::{pack, round};
    use crate::quants::packing;
    use crate::testing::{Gpu, Matrix, Random, Run, close, each_gpu, matrix, packings};

    fn check(gpu: &Gpu, weight: &Matrix, tokens: usize, shape: Shape, bias: bool, residual: Residual) {
        let mut random = Random::new(11);
        let (rows, columns) = (weight.rows.len(), weight.columns);
        let (input_stride, stride) = (columns.next_multiple_of(32), rows.next_multiple_of(32));
        let mut exact: Vec<_> = (0..tokens).map(|_| random.floats(columns)).collect();
        // A unit of almost nothing, which a block of 256 loses and a block of 32 does not, and one of nothing.
        let units = exact[0].as_chunks_mut::<32>().0;
        units[0] = units[0].map(|value| value * 1e-3);
        units[1] = [0.0; 32];
        let input: Vec<_> = exact.iter().map(|row| round::plain_for(weight.packing, row)).collect();
        let added: Vec<_> = (0..tokens).map(|_| random.floats(rows)).collect();
        let biases = random.floats(rows);
        let expected: Vec<_> = (0..tokens)
            .map(|token| {
                let residual = (residual != Residual::None).then_some(added[token].as_slice());
                plain(&weight.rows, &input[token], 0.5, bias.then_some(biases.as_slice()), residual)
            })
            .collect();
        // As in an executor, a slot has room for whole tiles of tokens.
        let room = tokens.next_multiple_of(8);
        let (input, input_stride) = if let Some(block) = shape.packed(weight.packing) {
            let mut words: Vec<_> = exact.iter().flat_map(|row| pack::plain(row, block)).collect();
            words.resize(room * columns / 32 * pack::UNIT_WORDS, u32::MAX);
            (words, columns / 32)
        } else {
            let mut floats = matrix(&exact, input_stride);
            floats.resize(room * input_stride, f32::NAN);
            (floats.into_iter().map(f32::to_bits).collect(), input_stride / 4)
        };
        let mut found = if residual == Residual::Output { matrix(&added, stride) } else { vec![0.0; tokens * stride] };
        let first_piece = if rows > 16 { 16 } else { rows };
        for (first, piece_rows) in [(0, first_piece), (first_piece, rows - first_piece)] {
            if piece_rows == 0 {
                continue;
            }
            let piece = weight.piece(first, piece_rows);
            let params = Params {
                row_limit: 200,
                units: weight.packing.units(columns) as u32,
                groups: piece_rows.div_ceil(16) as u32,
                rows: piece_rows as u32,
                first_row: first as u32,
                input_stride: input_stride as u32,
                output_stride: stride as u32,
                residual_stride: stride as u32,
                scale: 0.5,
                first_group: 0,
            };
            let program = program(weight.packing, shape, bias, residual);
            let mut run = Run::new(gpu, &program, &params.words(), tokens);
            run.words(&piece.quants).words(&piece.extras).words(&input);
            let output = run.output(&found);
            if bias {
                run.floats(&biases);
            }
            if residual == Residual::Separate {
                run.floats(&matrix(&added, stride));
            }
            found = run.go(shape.grid(&params)).floats(output);
        }
        let what = format!("{} {rows}x{columns} {tokens} {shape:?}", weight.packing.data_type.name());
        // Of a weight held as a half eleven bits are left.
        let tolerance = if matches!(shape, Shape::Tiled(tile) if tile.halves()) { 4e-3 } else { 1e-4 };
        close(&found, &matrix(&expected, stride), tolerance, &what);
    }

    fn rows(rows: u32, tokens: u32, slices: u32) -> Shape {
        Shape::Rows { tokens, split: Split { rows, slices, packed: false } }
    }

    fn packed_rows(rows: u32, tokens: u32, slices: u32) -> Shape {
        Shape::Rows { tokens, split: Split { rows, slices, packed: true } }
    }

    fn multiplies_packed(shape: Shape) -> bool {
        match shape {
            Shape::Rows { split, .. } => split.packed,
            Shape::Tiled(tile) => tile.packed(),
        }
    }

    /// Whether the adapter can do a shape.
    fn can(gpu: &Gpu, shape: Shape) -> bool {
        gpu.facts.packed_dots || !multiplies_packed(shape)
    }

    /// Every tile that the adapter can do.
    fn tiles(gpu: &Gpu) -> impl Iterator<Item = Shape> {
        Tile::all(&gpu.facts).map(Shape::Tiled)
    }

    #[test]
    fn every_format_and_shape_multiplies_right() {
        let shapes = [rows(4, 1, 1), rows(1, 1, 4), rows(2, 4, 1), rows(1, 4, 4)];
        for packing in packings() {
            let weight = Matrix::random(packing, 83, packing.elements * 3, 5);
            each_gpu(|gpu| {
                // One of the tiles for each format, all of them in the next test.
                let packed = packing.levels.filter(|_| gpu.facts.packed_dots).map(|_| tiles::PACKED_SMALL);
                let tiles = [Some(tiles::SMALL), packed].into_iter().flatten().map(Shape::Tiled);
                let packed_rows = [packed_rows(1, 1, 4), packed_rows(2, 4, 1)];
                let packed_rows = packed_rows.into_iter().filter(|shape| can(gpu, *shape) && packing.levels.is_some());
                for shape in shapes.into_iter().chain(packed_rows).chain(tiles) {
                    let tokens: &[usize] = match shape {
                        Shape::Rows { tokens: 1, .. } => &[1],
                        Shape::Rows { split, .. } if split.packed => &[3],
                        _ => &[1, 3, 17],
                    };
                    for &tokens in tokens {
                        check(gpu, &weight, tokens, shape, false, Residual::None);
                    }
                }
            });
        }
    }

    #[test]
    fn rows_longer_than_a_stretch_are_right() {
        for (data_type, columns) in [(DataType::Q4K, 4352), (DataType::Q4_1, 4128), (DataType::Q2K, 2304)] {
            let weight = Matrix::random(packing(data_type).expect("a known format"), 19, columns, 8);
            each_gpu(|gpu| {
                for shape in [rows(2, 1, 4), packed_rows(1, 1, 16), packed_rows(2, 4, 2)] {
                    if can(gpu, shape) {
                        let tokens = if matches!(shape, Shape::Rows { tokens: 1, .. }) { 1 } else { 5 };
                        check(gpu, &weight, tokens, shape, false, Residual::None);
                    }
                }
            });
        }
    }

    #[test]
    fn every_tile_multiplies_right_at_its_edges() {
        for (data_type, rows, units) in [(DataType::Q6K, 130, 1), (DataType::Q8_0, 257, 3), (DataType::Q2K, 65, 1)] {
            let packing = packing(data_type).expect("a known format");
            let weight = Matrix::random(packing, rows, packing.elements * units, 3);
            each_gpu(|gpu| {
                // Of the last one only what differs in packed integers: two minima.
                for shape in tiles(gpu).filter(|shape| multiplies_packed(*shape) || data_type != DataType::Q2K) {
                    for tokens in [1, 70, 129] {
                        check(gpu, &weight, tokens, shape, false, Residual::None);
                    }
                }
            });
        }
    }

    #[test]
    fn biases_and_residuals_are_added_once() {
        let weight = Matrix::random(packing(DataType::Q4_1).expect("a known format"), 5, 64, 9);
        each_gpu(|gpu| {
            for shape in [
                rows(2, 1, 2),
                rows(4, 4, 1),
                packed_rows(2, 1, 2),
                Shape::Tiled(tiles::SMALL),
                Shape::Tiled(tiles::LARGE),
                Shape::Tiled(tiles::PACKED_LARGE),
            ] {
                if !can(gpu, shape) {
                    continue;
                }
                let tokens = if matches!(shape, Shape::Rows { tokens: 1, .. }) { 1 } else { 3 };
                for residual in [Residual::None, Residual::Separate, Residual::Output] {
                    check(gpu, &weight, tokens, shape, true, residual);
                }
            }
        });
    }

    #[test]
    fn more_than_one_tile_of_tokens_is_right() {
        let weight = Matrix::random(packings().last().expect("a format"), 130, 256, 2);
        each_gpu(|gpu| check(gpu, &weight, 64, Shape::Tiled(tiles::SMALL), false, Residual::None));
    }
}
