//! Plain copies, which say how fast the adapter's memory is.

use super::{Access, Grid, Program};

/// Vectors that a workgroup copies.
const VECTORS: u32 = 1024;

/// How many vectors of four words are copied.
pub(crate) struct Params {
    pub(crate) vectors: u32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        vec![self.vectors]
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid::Fixed(self.vectors.div_ceil(VECTORS))
    }
}

/// Bindings: the original, the copy.
pub(crate) fn program() -> Program {
    Program::new("copy", &[include_str!("copy.wgsl")], &[], [(2, Access::Read), (3, Access::Write)])
}

#[cfg(test)]
mod tests {
    use super::{Params, program};
    use crate::testing::{Run, each_gpu};

    #[test]
    fn so_much_is_copied_and_no_more() {
        each_gpu(|gpu| {
            for vectors in [1, 255, 1024, 1025, 3000] {
                let original: Vec<u32> = (0..4 * vectors + 8).map(|word| word * 7).collect();
                let params = Params { vectors };
                let mut run = Run::new(gpu, &program(), &params.words(), 1);
                let copied = run.words(&original).output_words(&vec![1; original.len()]);
                let found = run.go(params.grid()).words(copied);
                let end = vectors as usize * 4;
                assert_eq!(found[..end], original[..end], "{vectors} vectors");
                assert_eq!(found[end..], [1; 8], "{vectors} vectors");
            }
        });
    }
}
