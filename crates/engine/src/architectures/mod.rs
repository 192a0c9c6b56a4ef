//! From a file to the graph of its architecture.

mod builder;
mod dense;

use nearside_gguf::{ByteSource, Gguf};

use crate::EngineError;
use crate::config::DecoderConfig;
use crate::graph::{Graph, RopePairing};

/// What sets one dense architecture apart from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DenseStyle {
    name: &'static str,
    pairing: RopePairing,
}

/// The architectures that [`build`] knows. GGUF files of the llama family store queries and keys
/// permuted, so that neighbouring elements rotate together.
const DENSE: &[DenseStyle] = &[
    DenseStyle { name: "llama", pairing: RopePairing::Adjacent },
    DenseStyle { name: "qwen2", pairing: RopePairing::Halves },
];

/// Reads the sizes and writes the model out as operations, every weight checked against the file's table.
pub fn build(gguf: &Gguf, bytes: &dyn ByteSource) -> Result<(DecoderConfig, Graph), EngineError> {
    let name = gguf.metadata.text("general.architecture")?;
    let Some(style) = DENSE.iter().find(|style| style.name == name) else {
        let known: Vec<String> = DENSE.iter().map(|style| format!("`{}`", style.name)).collect();
        return Err(EngineError::UnknownArchitecture { found: name.to_owned(), supported: known.join(" and ") });
    };
    let config = DecoderConfig::read(&gguf.metadata, name)?;
    let graph = dense::build(*style, &config, gguf, bytes)?;
    Ok((config, graph))
}
