//! The kernels: one WGSL file each, beside the plain Rust function that it must equal.

mod activation;
pub(crate) mod attend;
pub(crate) mod attention;
pub(crate) mod change_logits;
pub(crate) mod combine;
pub(crate) mod copy;
pub(crate) mod embed;
pub(crate) mod gate_up;
pub(crate) mod heads;
pub(crate) mod join;
pub(crate) mod matmul;
pub(crate) mod pack;
pub(crate) mod pair;
pub(crate) mod part;
mod reduce;
pub(crate) mod rms_norm;
pub(crate) mod rope;
pub(crate) mod rope_store;
pub(crate) mod round;
pub(crate) mod sample;
mod stage;
pub(crate) mod store_cache;
pub(crate) mod tiles;

use crate::platform;
use crate::template::{Definition, render};

/// Invocations in a workgroup of a kernel that treats elements one by one.
pub(crate) const ELEMENT_THREADS: u32 = 64;

/// The least that WebGPU promises of workgroups in one dimension, which every adapter has.
const DIMENSION: u32 = 65_535;

/// What a kernel does with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A kernel's text and the storage buffers it wants, by binding number. Bindings 0 and 1 are always
/// the step and the kernel's own parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Program {
    pub(crate) label: &'static str,
    pub(crate) source: String,
    pub(crate) bindings: Vec<(u32, Access)>,
}

impl Program {
    fn new(
        label: &'static str,
        parts: &[&str],
        definitions: &[Definition],
        bindings: impl IntoIterator<Item = (u32, Access)>,
    ) -> Self {
        let mut all = vec![include_str!("prelude.wgsl")];
        all.extend(parts);
        let mut source = render(&all, definitions);
        if definitions.contains(&("SUBGROUPS", 1)) {
            source.insert_str(0, platform::ENABLE_SUBGROUPS);
        }
        Self { label, source, bindings: bindings.into_iter().collect() }
    }

    /// The same as a program that may use `f16`.
    fn with_halves(self, halves: bool) -> Self {
        if halves { Self { source: format!("enable f16;\n{}", self.source), ..self } } else { self }
    }
}

/// How many workgroups a step of some rows needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grid {
    /// One invocation for each of `per_row` elements of each row.
    Elements { per_row: u32, threads: u32 },
    /// `per_tile` workgroups for every `rows` rows.
    Tiles { per_tile: u32, rows: u32 },
    /// So many, whatever the rows.
    Fixed(u32),
}

impl Grid {
    /// The workgroups of a dispatch, folded into two dimensions.
    pub(crate) fn workgroups(self, rows: u32) -> (u32, u32) {
        let total = match self {
            Self::Elements { per_row, threads } => (rows * per_row).div_ceil(threads),
            Self::Tiles { per_tile, rows: tile } => per_tile * rows.div_ceil(tile),
            Self::Fixed(count) => count,
        };
        let height = total.div_ceil(DIMENSION).max(1);
        (total.div_ceil(height), height)
    }
}

#[cfg(test)]
mod tests {
    use super::Grid;

    #[test]
    fn grids_fold_before_they_exceed_a_dimension() {
        assert_eq!(Grid::Elements { per_row: 100, threads: 64 }.workgroups(3), (5, 1));
        assert_eq!(Grid::Tiles { per_tile: 7, rows: 8 }.workgroups(17), (21, 1));
        assert_eq!(Grid::Fixed(65_535).workgroups(1), (65_535, 1));
        let (width, height) = Grid::Fixed(70_001).workgroups(1);
        assert!(width <= 65_535 && width * height >= 70_001);
    }
}
