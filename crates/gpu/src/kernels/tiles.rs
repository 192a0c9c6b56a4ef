//! The shapes in which many tokens are multiplied with a matrix.

use std::fmt;
use std::str::FromStr;

use crate::adapter::AdapterFacts;
use crate::quants::Packing;
use crate::template::Definition;

/// Invocations of a workgroup: sixteen over the weight rows by sixteen over the tokens.
const SIDE: u32 = 16;

/// As what weights and inputs wait in workgroup memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Floats of 32 bits.
    Floats,
    /// Weights as halves, which take half the memory and a conversion for each read.
    Halves,
    /// Both as signed bytes, four to a word, with a scale for each 32; their products are summed as integers.
    Packed,
}

/// A tile of weight rows by tokens, which a workgroup holds in its memory a few elements at a time.
///
/// It is written as it stands in the backend's features, as in `128x64-packed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Weight rows of one invocation.
    rows: u32,
    /// Tokens of one invocation.
    tokens: u32,
    /// Elements of each row and token that are held at a time: half of a unit, one, or two.
    step: u32,
    numbers: Numbers,
}

/// Small enough for adapters with few registers, and for small matrices to become many workgroups.
pub(crate) const SMALL: Tile = Tile { rows: 4, tokens: 4, step: 32, numbers: Numbers::Floats };

/// Reads a third less for each product.
pub(crate) const WIDE: Tile = Tile { rows: 8, tokens: 4, step: 16, numbers: Numbers::Floats };

/// Reads half as much for each product, and wants a hundred registers.
pub(crate) const LARGE: Tile = Tile { rows: 8, tokens: 8, step: 16, numbers: Numbers::Floats };

/// The wide one with half as many barriers.
pub(crate) const HALVES: Tile = Tile { rows: 8, tokens: 4, step: 32, numbers: Numbers::Halves };

/// The small one in packed integers.
pub(crate) const PACKED_SMALL: Tile = Tile { rows: 4, tokens: 4, step: 64, numbers: Numbers::Packed };

/// The wide one in packed integers.
pub(crate) const PACKED_WIDE: Tile = Tile { rows: 8, tokens: 4, step: 32, numbers: Numbers::Packed };

/// The large one in packed integers.
pub(crate) const PACKED_LARGE: Tile = Tile { rows: 8, tokens: 8, step: 32, numbers: Numbers::Packed };

/// A small one for matrices of so few rows that the others make few workgroups of them.
pub(crate) const NARROW: Tile = Tile { rows: 4, tokens: 2, step: 32, numbers: Numbers::Floats };

/// The same in packed integers.
pub(crate) const PACKED_NARROW: Tile = Tile { rows: 4, tokens: 2, step: 64, numbers: Numbers::Packed };

/// A matrix of fewer rows than so many tiles have is narrow.
const NARROW_TILES: u32 = 8;

impl fmt::Display for Tile {
    /// Rows by tokens, and what they wait as unless that is floats.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.rows(), self.tokens())?;
        formatter.write_str(match self.numbers {
            Numbers::Floats => "",
            Numbers::Halves => "-halves",
            Numbers::Packed => "-packed",
        })
    }
}

impl FromStr for Tile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|tile| tile.to_string() == name).ok_or_else(|| {
            let names = Self::ALL.map(|tile| tile.to_string()).join(", ");
            format!("there is no tile `{name}`; it must be one of {names}")
        })
    }
}

impl Tile {
    const ALL: [Self; 9] = [SMALL, WIDE, LARGE, HALVES, PACKED_SMALL, PACKED_WIDE, PACKED_LARGE, NARROW, PACKED_NARROW];

    /// Those that an adapter can do.
    pub(crate) fn all(facts: &AdapterFacts) -> impl Iterator<Item = Self> {
        let (f16, dots) = (facts.f16, facts.packed_dots);
        Self::ALL.into_iter().filter(move |tile| match tile.numbers {
            Numbers::Floats => true,
            Numbers::Halves => f16,
            Numbers::Packed => dots,
        })
    }

    /// Weight rows of the whole tile.
    pub(crate) fn rows(self) -> u32 {
        self.rows * SIDE
    }

    /// Tokens of the whole tile.
    pub(crate) fn tokens(self) -> u32 {
        self.tokens * SIDE
    }

    /// Whether its kernel is written with `f16`.
    pub(crate) fn halves(self) -> bool {
        self.numbers == Numbers::Halves
    }

    /// The one for narrow matrices that takes this one's place.
    pub(crate) fn narrow(self) -> Self {
        if self.packed() { PACKED_NARROW } else { NARROW }
    }

    /// Whether it multiplies integers.
    pub(crate) fn packed(self) -> bool {
        self.numbers == Numbers::Packed
    }

    /// What its kernel is told. The vectors of a row are swizzled so that the invocations that read together read
    /// different banks; how depends on how many banks a row takes.
    pub(crate) fn definitions(self, packing: &Packing) -> Vec<Definition> {
        let invocations = SIDE * SIDE;
        let shift = |bytes: u32| (128 / (self.step * bytes)).ilog2();
        let shape =
            [("ROWS", self.rows), ("TOKENS", self.tokens), ("TILE_ROWS", self.rows()), ("TILE_TOKENS", self.tokens())];
        let rest = if let Some(levels) = packing.levels.filter(|_| self.packed()) {
            vec![
                ("PACKED", 1),
                ("VECTORS", self.step / 16),
                ("UNITS", self.step / 32),
                ("INPUT_VECTORS", self.tokens() * self.step / 16),
                ("FACTORS", levels.scales),
                ("TWO_SCALES", u32::from(levels.scales == 2)),
                ("MINIMA", u32::from(levels.minima)),
                ("WEIGHT_SHIFT", shift(1)),
                ("INPUT_SHIFT", shift(1)),
            ]
        } else {
            let vectors = self.step / 4;
            vec![
                ("VECTORS", vectors),
                ("PARTS", self.step / 8),
                ("STEPS", 32 / self.step),
                ("WEIGHT_LOADS", self.rows() * self.step / 8 / invocations),
                ("INPUT_LOADS", self.tokens() * vectors / invocations),
                ("WEIGHT_SHIFT", shift(if self.halves() { 2 } else { 4 })),
                ("INPUT_SHIFT", shift(4)),
                ("HALVES", u32::from(self.halves())),
            ]
        };
        shape.into_iter().chain(rest).collect()
    }
}

/// The tiles that suit an adapter: one for formats whose levels are small integers, if that pays, and one for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tiles {
    pub(crate) packed: Option<Tile>,
    pub(crate) floats: Tile,
    /// Whether the main one leaves narrow matrices to a smaller one.
    pub(crate) narrow: bool,
}

impl Tiles {
    /// One tile, wherever it can be.
    pub(crate) fn only(tile: Tile) -> Self {
        let packed = Some(tile).filter(|tile| tile.packed());
        Self { packed, floats: if tile.packed() { WIDE } else { tile }, narrow: false }
    }

    /// The one for products with a matrix of a format and so many rows.
    pub(crate) fn fitting(self, packing: &Packing, rows: usize) -> Tile {
        use nearside_gguf::DataType::{Bf16, F32};
        let tile = match self.packed {
            Some(tile) if packing.levels.is_some() => tile,
            // A half may not hold their values.
            _ if self.floats.halves() && matches!(packing.data_type, F32 | Bf16) => WIDE,
            _ => self.floats,
        };
        let narrow = self.narrow && tile == self.main() && rows < (NARROW_TILES * tile.rows()) as usize;
        if narrow { tile.narrow() } else { tile }
    }

    /// The one for most products.
    pub(crate) fn main(self) -> Tile {
        self.packed.unwrap_or(self.floats)
    }
}

#[cfg(test)]
mod tests {
    use nearside_gguf::DataType;

    use super::{HALVES, NARROW, Numbers, PACKED_NARROW, PACKED_WIDE, Tile, Tiles, WIDE};
    use crate::quants::packing;

    /// Workgroup memory that WebGPU promises everywhere, in bytes.
    const PROMISED_MEMORY: u32 = 16 << 10;

    #[test]
    fn every_tile_fits_the_memory_that_is_promised_and_is_loaded_evenly() {
        for tile in Tile::ALL {
            let (rows, tokens, step) = (tile.rows(), tile.tokens(), tile.step);
            let memory = match tile.numbers {
                Numbers::Floats => (rows + tokens) * 4 * step,
                Numbers::Halves => (rows * 2 + tokens * 4) * step,
                // With two scales and minima for each unit of a weight row, and four floats for one of a token.
                Numbers::Packed => (rows + tokens) * (step + step / 32 * 16),
            };
            assert!(memory <= PROMISED_MEMORY, "{tile}");
            if tile.packed() {
                assert_eq!(rows * step / 16, 256, "{tile}");
                assert!(tokens * step / 16 <= 256, "{tile}");
            } else {
                assert_eq!(rows * step / 8 % 256, 0, "{tile}");
                assert_eq!(tokens * step / 4 % 256, 0, "{tile}");
            }
        }
    }

    #[test]
    fn formats_that_a_tile_cannot_hold_get_another() {
        let fitting = |tile, format| Tiles::only(tile).fitting(packing(format).expect("known"), 64);
        assert_eq!(fitting(HALVES, DataType::Q4K), HALVES);
        assert_eq!(fitting(HALVES, DataType::F32), WIDE);
        assert_eq!(fitting(PACKED_WIDE, DataType::Q4K), PACKED_WIDE);
        assert_eq!(fitting(PACKED_WIDE, DataType::F16), WIDE);
    }

    #[test]
    fn narrow_matrices_get_the_small_tile_where_it_pays() {
        let tiles = |tile| Tiles { narrow: true, ..Tiles::only(tile) };
        let fitting = |tile, format, rows| tiles(tile).fitting(packing(format).expect("known"), rows);
        assert_eq!(fitting(PACKED_WIDE, DataType::Q4K, 256), PACKED_NARROW);
        assert_eq!(fitting(PACKED_WIDE, DataType::Q4K, 1024), PACKED_WIDE);
        assert_eq!(fitting(PACKED_WIDE, DataType::F16, 256), WIDE);
        assert_eq!(fitting(WIDE, DataType::Q4K, 1023), NARROW);
        assert_eq!(Tiles::only(WIDE).fitting(packing(DataType::Q4K).expect("known"), 256), WIDE);
    }

    #[test]
    fn tiles_are_found_by_their_names() {
        for (tile, name) in [(WIDE, "128x64"), (HALVES, "128x64-halves"), (PACKED_WIDE, "128x64-packed")] {
            assert_eq!((tile.to_string(), name.parse()), (name.to_owned(), Ok(tile)));
        }
        assert!("1x1".parse::<Tile>().is_err_and(|problem| problem.contains("64x64, 128x64,")));
    }
}
