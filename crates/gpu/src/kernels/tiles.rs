//! The shapes in which many tokens are multiplied with a matrix.

use nearside_gguf::DataType;

use crate::template::Definition;

/// Invocations of a workgroup: sixteen over the weight rows by sixteen over the tokens.
const SIDE: u32 = 16;

/// A tile of weight rows by tokens, which a workgroup holds in its memory a few elements at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Weight rows of one invocation.
    rows: u32,
    /// Tokens of one invocation.
    tokens: u32,
    /// Elements of each row and token that are held at a time: a unit, or half of one.
    step: u32,
    /// Whether weights are held as halves: they take half the memory, and a conversion for each read.
    halves: bool,
}

/// Small enough for adapters with few registers, and for small matrices to become many workgroups.
pub(crate) const SMALL: Tile = Tile { rows: 4, tokens: 4, step: 32, halves: false };

/// Reads a third less for each product.
pub(crate) const WIDE: Tile = Tile { rows: 8, tokens: 4, step: 16, halves: false };

/// Reads half as much for each product, and wants a hundred registers.
pub(crate) const LARGE: Tile = Tile { rows: 8, tokens: 8, step: 16, halves: false };

/// The wide one with half as many barriers.
pub(crate) const HALVES: Tile = Tile { rows: 8, tokens: 4, step: 32, halves: true };

impl Tile {
    /// The shapes to choose from, and whether each wants `shader-f16`.
    pub(crate) fn all(f16: bool) -> Vec<Self> {
        [SMALL, WIDE, LARGE, HALVES].into_iter().filter(|tile| f16 || !tile.halves).collect()
    }

    /// The same for a format whose values a half may not hold.
    pub(crate) fn fitting(self, format: DataType) -> Self {
        match format {
            DataType::F32 | DataType::Bf16 if self.halves => WIDE,
            _ => self,
        }
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
        self.halves
    }

    /// What its kernel is told. The vectors of a row are swizzled so that the invocations that read together read
    /// different banks; how depends on how many banks a row takes.
    pub(crate) fn definitions(self) -> Vec<Definition> {
        let vectors = self.step / 4;
        let invocations = SIDE * SIDE;
        let shift = |bytes: u32| (128 / (self.step * bytes)).ilog2();
        vec![
            ("ROWS", self.rows),
            ("TOKENS", self.tokens),
            ("TILE_ROWS", self.rows()),
            ("TILE_TOKENS", self.tokens()),
            ("VECTORS", vectors),
            ("PARTS", self.step / 8),
            ("STEPS", 32 / self.step),
            ("WEIGHT_LOADS", self.rows() * self.step / 8 / invocations),
            ("INPUT_LOADS", self.tokens() * vectors / invocations),
            ("WEIGHT_SHIFT", shift(if self.halves { 2 } else { 4 })),
            ("INPUT_SHIFT", shift(4)),
            ("HALVES", u32::from(self.halves)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use nearside_gguf::DataType;

    use super::{HALVES, Tile, WIDE};

    /// Workgroup memory that WebGPU promises everywhere, in bytes.
    const PROMISED_MEMORY: u32 = 16 << 10;

    #[test]
    fn every_tile_fits_the_memory_that_is_promised_and_is_loaded_evenly() {
        for tile in Tile::all(true) {
            let weight = if tile.halves { 2 } else { 4 };
            let memory = (tile.rows() * weight + tile.tokens() * 4) * tile.step;
            assert!(memory <= PROMISED_MEMORY, "{tile:?}");
            assert_eq!(tile.rows() * tile.step / 8 % 256, 0, "{tile:?}");
            assert_eq!(tile.tokens() * tile.step / 4 % 256, 0, "{tile:?}");
        }
        assert!(!Tile::all(false).contains(&HALVES));
        assert_eq!((HALVES.fitting(DataType::Q4K), HALVES.fitting(DataType::F32)), (HALVES, WIDE));
    }
}
