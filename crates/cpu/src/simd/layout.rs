//! How weights lie in memory.
//!
//! Sixteen rows make a panel. Its columns come in blocks, of 32 where each block has its own scale in the file
//! and of 256 where parts of a block have scales that are themselves small integers. 32 columns are eight quads
//! of four. A panel holds first all scales (and minimums), block after block, then all levels, 32 columns after
//! 32 columns, each word the levels of one row, the rows side by side. So a panel is read from front to back by
//! two streams.

use half::f16;

use super::input::{Input, Rounding, WideInput};
use super::kernels::{self, Panel, Unpacked};
use super::lanes::Lanes;
use super::{packing, wide_kernels};

/// Rows in a panel.
pub(crate) const PANEL_ROWS: usize = 16;
/// Columns that share a scale of their own.
pub(crate) const BLOCK: usize = 32;
/// Columns that share a scale where parts of them have smaller ones.
pub(crate) const WIDE_BLOCK: usize = 256;
/// A cache line, and the widest vector.
pub(crate) const LINE: usize = 64;

/// One way to lay weights out. A weight is `scale * step * (level - offset) + minimum * below`, where `step` and
/// `below` are 1 in blocks of 32.
pub(crate) trait Layout: Copy + Send + Sync + 'static {
    /// What is multiplied with a block.
    type Input: Rounding;
    /// Bits of a stored level.
    const BITS: usize;
    /// Parts of a block that have a step each: 1 in blocks of 32, 8 or 16 in blocks of 256.
    const PARTS: usize;
    /// Whether there are minimums.
    const MINIMUMS: bool;
    /// Whether a stored level is an index into a table of levels.
    const TABLE: bool;
    /// Whether a level may be above 127, or negative.
    const BYTE: bool = Self::BITS == 8 || Self::TABLE;
    /// Columns in a block.
    const COLUMNS: usize = Self::Input::COLUMNS;
    /// Half floats of a block for each row.
    const HALVES: usize = if Self::MINIMUMS { 2 } else { 1 };
    /// Where a block's steps begin.
    const STEPS_AT: usize = Self::HALVES * PANEL_ROWS * 2;
    /// Bytes of a block's scales, minimums, steps and belows.
    const HEAD_BYTES: usize =
        Self::STEPS_AT + if Self::PARTS == 1 { 0 } else { Self::HALVES * Self::PARTS * PANEL_ROWS };
    /// Bytes of levels in 32 columns of a panel.
    const LEVEL_BYTES: usize = Self::BITS * BLOCK / 8 * PANEL_ROWS;

    /// [`kernels::rows`] or [`wide_kernels::rows`].
    ///
    /// # Safety
    /// As for these.
    unsafe fn rows<V: Lanes, const VECTORS: usize, const ROWS: usize>(
        panel: Panel,
        inputs: *const Self::Input,
        products: *mut f32,
    );

    /// [`kernels::tile`] or [`wide_kernels::tile`].
    ///
    /// # Safety
    /// As for these.
    unsafe fn tile<V: Lanes, const VECTORS: usize, const ROWS: usize>(
        panel: Panel,
        unpacked: Unpacked,
        inputs: *const Self::Input,
        products: *mut f32,
    );
}

macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident: $bits:literal, $parts:literal, $minimums:literal, $table:literal, $input:ident, $kernels:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub(crate) struct $name;

            impl Layout for $name {
                type Input = $input;
                const BITS: usize = $bits;
                const PARTS: usize = $parts;
                const MINIMUMS: bool = $minimums;
                const TABLE: bool = $table;

                #[inline(always)]
                unsafe fn rows<V: Lanes, const VECTORS: usize, const ROWS: usize>(
                    panel: Panel,
                    inputs: *const $input,
                    products: *mut f32,
                ) {
                    // SAFETY: the caller promises what the kernel asks for.
                    unsafe { $kernels::rows::<V, Self, VECTORS, ROWS>(panel, inputs, products) }
                }

                #[inline(always)]
                unsafe fn tile<V: Lanes, const VECTORS: usize, const ROWS: usize>(
                    panel: Panel,
                    unpacked: Unpacked,
                    inputs: *const $input,
                    products: *mut f32,
                ) {
                    // SAFETY: the caller promises what the kernel asks for.
                    unsafe { $kernels::tile::<V, Self, VECTORS, ROWS>(panel, unpacked, inputs, products) }
                }
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
    Four: 4, 1, false, false, Input, kernels;
    /// 4 bits, scale and minimum.
    FourMinimum: 4, 1, true, false, Input, kernels;
    /// 4 bits that name one of sixteen levels, and a scale.
    FourTable: 4, 1, false, true, Input, kernels;
    /// 5 bits and a scale.
    Five: 5, 1, false, false, Input, kernels;
    /// 5 bits, scale and minimum.
    FiveMinimum: 5, 1, true, false, Input, kernels;
    /// 8 bits and a scale.
    Eight: 8, 1, false, false, Input, kernels;
    /// 2 bits, a step and a below for every 16 columns.
    WideTwo: 2, 16, true, false, WideInput, wide_kernels;
    /// 3 bits, a step for every 16 columns.
    WideThree: 3, 16, false, false, WideInput, wide_kernels;
    /// 3 bits that name one of eight levels, a step for every 32 columns.
    WideThreeTable: 3, 8, false, true, WideInput, wide_kernels;
    /// 4 bits, a step and a below for every 32 columns.
    WideFour: 4, 8, true, false, WideInput, wide_kernels;
    /// 4 bits that name one of sixteen levels, a step for every 32 columns.
    WideFourTable: 4, 8, false, true, WideInput, wide_kernels;
    /// 5 bits, a step and a below for every 32 columns.
    WideFive: 5, 8, true, false, WideInput, wide_kernels;
    /// 6 bits, a step for every 16 columns.
    WideSix: 6, 16, false, false, WideInput, wide_kernels;
}

#[expect(clippy::single_component_path_imports, reason = "other modules name the macro by its path")]
pub(crate) use with_layout;

/// One block of one row: of 256 weights, or of 32, the first eight quads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    /// Levels, four in a word, the first lowest.
    pub(crate) quads: [[u32; 8]; WIDE_BLOCK / BLOCK],
    pub(crate) scale: f16,
    pub(crate) minimum: f16,
    /// What the scale is multiplied with in each part.
    pub(crate) steps: [i8; 16],
    /// What the minimum is multiplied with, below 128.
    pub(crate) belows: [u8; 16],
}

impl Unit {
    /// A block of zeros whose parts have no scales of their own.
    pub(crate) const ZERO: Self =
        Self { quads: [[0; 8]; 8], scale: f16::ZERO, minimum: f16::ZERO, steps: [1; 16], belows: [1; 16] };
}

/// Where things are in a panel of so many blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PanelShape {
    pub(crate) blocks: usize,
    /// Columns in a block.
    pub(crate) columns: usize,
    /// Parts of a block with a step each.
    pub(crate) parts: usize,
    minimums: bool,
    bits: usize,
    steps_at: usize,
    head_bytes: usize,
}

impl PanelShape {
    pub(crate) fn of<L: Layout>(blocks: usize) -> Self {
        Self {
            blocks,
            columns: L::COLUMNS,
            parts: L::PARTS,
            minimums: L::MINIMUMS,
            bits: L::BITS,
            steps_at: L::STEPS_AT,
            head_bytes: L::HEAD_BYTES,
        }
    }

    /// Bytes of a whole panel.
    pub(crate) fn bytes(&self) -> usize {
        self.levels() + self.blocks * self.columns / BLOCK * self.level_bytes()
    }

    /// Where the levels begin.
    pub(crate) fn levels(&self) -> usize {
        (self.blocks * self.head_bytes).next_multiple_of(LINE)
    }

    fn level_bytes(&self) -> usize {
        self.bits * BLOCK / 8 * PANEL_ROWS
    }

    /// Where a row's scale is.
    fn scale(&self, block: usize, row: usize) -> usize {
        block * self.head_bytes + row * 2
    }

    /// Where a row's step is: those of four parts side by side, then those of the next row.
    fn step(&self, block: usize, row: usize, part: usize) -> usize {
        block * self.head_bytes + self.steps_at + part / 4 * PANEL_ROWS * 4 + row * 4 + part % 4
    }

    /// Where the words of 32 columns of a row are.
    fn words(&self, block: usize, eighth: usize, row: usize) -> impl Iterator<Item = usize> + use<> {
        let index = block * self.columns / BLOCK + eighth;
        let first = self.levels() + index * self.level_bytes() + row * 4;
        (0..self.bits).map(move |word| first + word * PANEL_ROWS * 4)
    }

    /// Puts a block where it belongs.
    pub(crate) fn put(&self, panel: &mut [u8], block: usize, row: usize, unit: &Unit) {
        let scale = self.scale(block, row);
        panel[scale..scale + 2].copy_from_slice(&unit.scale.to_le_bytes());
        if self.minimums {
            let minimum = scale + PANEL_ROWS * 2;
            panel[minimum..minimum + 2].copy_from_slice(&unit.minimum.to_le_bytes());
        }
        if self.parts > 1 {
            for part in 0..self.parts {
                let step = self.step(block, row, part);
                panel[step] = unit.steps[part] as u8;
                if self.minimums {
                    panel[step + self.parts * PANEL_ROWS] = unit.belows[part];
                }
            }
        }
        for (eighth, quads) in unit.quads[..self.columns / BLOCK].iter().enumerate() {
            for (place, word) in self.words(block, eighth, row).zip(packing::pack(self.bits, quads)) {
                panel[place..place + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// A block of a row, levels as they are stored.
    pub(crate) fn get(&self, panel: &[u8], block: usize, row: usize) -> Unit {
        let half_at = |start: usize| f16::from_le_bytes([panel[start], panel[start + 1]]);
        let mut unit = Unit::ZERO;
        let scale = self.scale(block, row);
        unit.scale = half_at(scale);
        if self.minimums {
            unit.minimum = half_at(scale + PANEL_ROWS * 2);
        }
        if self.parts > 1 {
            for part in 0..self.parts {
                let step = self.step(block, row, part);
                unit.steps[part] = panel[step] as i8;
                if self.minimums {
                    unit.belows[part] = panel[step + self.parts * PANEL_ROWS];
                }
            }
        }
        for (eighth, quads) in unit.quads[..self.columns / BLOCK].iter_mut().enumerate() {
            let mut words = [0; 8];
            for (word, place) in words.iter_mut().zip(self.words(block, eighth, row)) {
                *word = u32::from_le_bytes([panel[place], panel[place + 1], panel[place + 2], panel[place + 3]]);
            }
            *quads = packing::unpack(self.bits, &words);
        }
        unit
    }
}
