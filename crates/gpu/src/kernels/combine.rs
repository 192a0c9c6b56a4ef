//! What the slices of one token's attention gathered, put together.

use super::{Access, ELEMENT_THREADS, Grid, Program};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Params {
    /// Vectors of four in the heads of the token.
    pub(crate) quads: u32,
    /// The positions seen; the largest number when all are.
    pub(crate) window: u32,
}

impl Params {
    pub(crate) fn words(self) -> Vec<u32> {
        vec![self.quads, self.window]
    }

    pub(crate) fn grid(self) -> Grid {
        Grid::Fixed(self.quads.div_ceil(ELEMENT_THREADS))
    }
}

/// Bindings: partials, output. Its plain function is attention's.
pub(crate) fn program(head_dim: u32, splits: u32) -> Program {
    Program::new(
        "combine",
        &[include_str!("slices.wgsl"), include_str!("combine.wgsl")],
        &[("THREADS", ELEMENT_THREADS), ("HEAD_DIM", head_dim), ("SPLITS", splits)],
        [(2, Access::Read), (3, Access::Write)],
    )
}
