//! How weights lie in memory.
//!
//! Sixteen rows make a panel. Its columns come in blocks of 32; a block is eight quads of four columns. A
//! panel holds first all scales (and minimums), block after block, then all levels, block after block, each
//! word the quad of one row, the rows side by side. So a panel is read from front to back by two streams.

use half::f16;

/// Rows in a panel.
pub(crate) const PANEL_ROWS: usize = 16;
/// Columns in a block.
pub(crate) const BLOCK: usize = 32;
/// A cache line, and the widest vector.
pub(crate) const LINE: usize = 64;

/// One way to lay weights out. A weight is `scale * (level - offset) + minimum`.
pub(crate) trait Layout: Copy + Send + Sync + 'static {
    /// Bits of a stored level: 4, 5, 6 or 8.
    const BITS: usize;
    /// Scales in each block: 1 or 2.
    const SCALES: usize;
    /// Whether each scale has a minimum beside it.
    const MINIMUMS: bool;
    /// Whether a stored level is an index into a table of levels.
    const TABLE: bool;
    /// Whether a level may be above 127, or negative.
    const BYTE: bool = Self::BITS == 8 || Self::TABLE;
    /// Bytes of scales and minimums in one block of a panel.
    const HEAD_BYTES: usize = Self::SCALES * if Self::MINIMUMS { 2 } else { 1 } * PANEL_ROWS * 2;
    /// Bytes of levels in one block of a panel.
    const LEVEL_BYTES: usize = Self::BITS * BLOCK / 8 * PANEL_ROWS;
}

macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident: $bits:literal, $scales:literal, $minimums:literal, $table:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub(crate) struct $name;

            impl Layout for $name {
                const BITS: usize = $bits;
                const SCALES: usize = $scales;
                const MINIMUMS: bool = $minimums;
                const TABLE: bool = $table;
            }
        )*

        /// Every layout.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum LayoutName { $($name),* }

        #[cfg(test)]
        pub(crate) const ALL_LAYOUTS: &[LayoutName] = &[$(LayoutName::$name),*];

        /// Evaluates an expression with `$layout` the type of that name.
        macro_rules! with_layout {
            ($value:expr, $layout:ident => $expression:expr) => {
                match $value {
                    $($crate::simd::LayoutName::$name => {
                        type $layout = $crate::simd::layout::$name;
                        $expression
                    })*
                }
            };
        }
    };
}

layouts! {
    /// 4 bits and a scale.
    Four: 4, 1, false, false;
    /// 4 bits, scale and minimum.
    FourMinimum: 4, 1, true, false;
    /// 4 bits that name one of sixteen levels, and a scale.
    FourTable: 4, 1, false, true;
    /// 4 bits, a scale for every 16 columns.
    FourHalves: 4, 2, false, false;
    /// 4 bits, scale and minimum for every 16 columns.
    FourMinimumHalves: 4, 2, true, false;
    /// 5 bits and a scale.
    Five: 5, 1, false, false;
    /// 5 bits, scale and minimum.
    FiveMinimum: 5, 1, true, false;
    /// 6 bits, a scale for every 16 columns.
    SixHalves: 6, 2, false, false;
    /// 8 bits and a scale.
    Eight: 8, 1, false, false;
}

#[expect(clippy::single_component_path_imports, reason = "other modules name the macro by its path")]
pub(crate) use with_layout;

/// 32 weights of one row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Unit {
    /// Levels, four in a word, the first lowest.
    pub(crate) quads: [u32; 8],
    /// Scales of the first and the second half, equal where the layout has one.
    pub(crate) scales: [f16; 2],
    /// Their minimums.
    pub(crate) minimums: [f16; 2],
}

/// Where things are in a panel of so many blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PanelShape {
    pub(crate) blocks: usize,
    head_bytes: usize,
    level_bytes: usize,
    scales: usize,
    minimums: bool,
    bits: usize,
}

impl PanelShape {
    pub(crate) fn of<L: Layout>(blocks: usize) -> Self {
        Self {
            blocks,
            head_bytes: (blocks * L::HEAD_BYTES).next_multiple_of(LINE),
            level_bytes: blocks * L::LEVEL_BYTES,
            scales: L::SCALES,
            minimums: L::MINIMUMS,
            bits: L::BITS,
        }
    }

    /// Bytes of a whole panel.
    pub(crate) fn bytes(&self) -> usize {
        self.head_bytes + self.level_bytes
    }

    /// Where the levels begin.
    pub(crate) fn levels(&self) -> usize {
        self.head_bytes
    }

    fn head(&self, block: usize, half: usize, row: usize) -> (usize, usize) {
        let pairs = if self.minimums { 2 } else { 1 };
        let scale = ((block * self.scales + half) * pairs * PANEL_ROWS + row) * 2;
        (scale, scale + PANEL_ROWS * 2)
    }

    fn word(&self, block: usize, word: usize, row: usize) -> usize {
        self.head_bytes + block * self.bits * BLOCK / 8 * PANEL_ROWS + (word * PANEL_ROWS + row) * 4
    }

    /// Puts 32 weights where they belong.
    pub(crate) fn put(&self, panel: &mut [u8], block: usize, row: usize, unit: &Unit) {
        for half in 0..self.scales {
            let (scale, minimum) = self.head(block, half, row);
            panel[scale..scale + 2].copy_from_slice(&unit.scales[half].to_le_bytes());
            if self.minimums {
                panel[minimum..minimum + 2].copy_from_slice(&unit.minimums[half].to_le_bytes());
            }
        }
        let mut put = |index: usize, word: u32| {
            let start = self.word(block, index, row);
            panel[start..start + 4].copy_from_slice(&word.to_le_bytes());
        };
        let quads = &unit.quads;
        if self.bits == 8 {
            quads.iter().enumerate().for_each(|(index, quad)| put(index, *quad));
            return;
        }
        for index in 0..4 {
            put(index, quads[2 * index] & 0x0f0f_0f0f | (quads[2 * index + 1] & 0x0f0f_0f0f) << 4);
        }
        let high = |index: usize| quads[index] >> 4;
        match self.bits {
            5 => put(4, (0..8).fold(0, |word, index| word | (high(index) & 0x0101_0101) << index)),
            6 => {
                for turn in 0..2 {
                    let bits = (0..4).map(|index| (high(4 * turn + index) & 0x0303_0303) << (2 * index));
                    put(4 + turn, bits.fold(0, |word, bits| word | bits));
                }
            }
            _ => {}
        }
    }

    /// The 32 weights of a row, levels as they are stored.
    pub(crate) fn get(&self, panel: &[u8], block: usize, row: usize) -> Unit {
        let half_at = |start: usize| f16::from_le_bytes([panel[start], panel[start + 1]]);
        let word = |index: usize| {
            let start = self.word(block, index, row);
            u32::from_le_bytes([panel[start], panel[start + 1], panel[start + 2], panel[start + 3]])
        };
        let mut unit = Unit::default();
        for half in 0..2 {
            let (scale, minimum) = self.head(block, half.min(self.scales - 1), row);
            unit.scales[half] = half_at(scale);
            if self.minimums {
                unit.minimums[half] = half_at(minimum);
            }
        }
        for index in 0..8 {
            let nibbles = word(index / 2) >> (index % 2 * 4) & 0x0f0f_0f0f;
            unit.quads[index] = match self.bits {
                8 => word(index),
                5 => nibbles | (word(4) >> index & 0x0101_0101) << 4,
                6 => nibbles | (word(4 + index / 4) >> (index % 4 * 2) & 0x0303_0303) << 4,
                _ => nibbles,
            };
        }
        unit
    }
}
