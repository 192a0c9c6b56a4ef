//! What a model asks of a machine for each token, as far as its file tells.

use std::fs::File;
use std::path::Path;

use nearside_gguf::{FileBytes, Gguf, TensorInfo};
use serde::Serialize;

use crate::error::{Doing, Result, invalid};

/// What one token takes, whatever the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Work {
    /// Products and sums for a token that is read: the layers' matrices.
    prefill_products: u64,
    /// Products and sums for a token that is written: those and the output's.
    decode_products: u64,
    /// Bytes of weights that are read for a token that is written.
    decode_bytes: u64,
}

impl Work {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let bytes = File::open(path).and_then(FileBytes::new).doing("open", path)?;
        let gguf = Gguf::read(&bytes).map_err(|error| invalid(path.display(), error))?;
        Ok(Self::of_tensors(&gguf.tensors))
    }

    fn of_tensors(tensors: &[TensorInfo]) -> Self {
        let sum = |of: fn(&TensorInfo) -> u64, chosen: &[&TensorInfo]| chosen.iter().map(|tensor| of(tensor)).sum();
        let products = |tensor: &TensorInfo| tensor.columns() * tensor.rows();
        let layers: Vec<_> =
            tensors.iter().filter(|tensor| tensor.name.starts_with("blk.") && tensor.dimensions.len() > 1).collect();
        let named = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
        let head = named("output.weight").or_else(|| named("token_embd.weight"));
        let all: Vec<_> = layers.iter().copied().chain(head).collect();
        Self {
            prefill_products: sum(products, &layers),
            decode_products: sum(products, &all),
            decode_bytes: sum(|tensor| tensor.size, &all),
        }
    }
}

#[cfg(test)]
mod tests {
    use nearside_gguf::{DataType, TensorInfo};

    use super::Work;

    fn tensor(name: &str, dimensions: &[u64]) -> TensorInfo {
        let size = dimensions.iter().product::<u64>() * 4;
        TensorInfo { name: name.to_owned(), data_type: DataType::F32, dimensions: dimensions.to_vec(), offset: 0, size }
    }

    #[test]
    fn the_table_of_embeddings_counts_only_where_it_is_the_output() {
        let mut tensors = vec![
            tensor("token_embd.weight", &[4, 10]),
            tensor("blk.0.attn_q.weight", &[4, 4]),
            tensor("blk.0.attn_norm.weight", &[4]),
        ];
        let tied = Work { prefill_products: 16, decode_products: 56, decode_bytes: 224 };
        assert_eq!(Work::of_tensors(&tensors), tied);
        tensors.push(tensor("output.weight", &[4, 20]));
        let own = Work { prefill_products: 16, decode_products: 96, decode_bytes: 384 };
        assert_eq!(Work::of_tensors(&tensors), own);
    }
}
