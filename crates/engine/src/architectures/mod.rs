//! From a file to the graph of its architecture.

mod attention;
mod builder;
mod decoder;
mod feed_forward;
mod rotation;
mod style;

use nearside_gguf::{ByteSource, Gguf};

pub(crate) use self::style::{Style, Trait};
use crate::EngineError;
use crate::config::DecoderConfig;
use crate::graph::Graph;

/// Reads the sizes and writes the model out as operations, every weight checked against the file's table.
/// Some models rotate otherwise in a long context, so `context` is how many positions there will be, at most
/// as many as the model was trained for.
pub fn build(gguf: &Gguf, bytes: &dyn ByteSource, context: usize) -> Result<(DecoderConfig, Graph), EngineError> {
    let name = gguf.metadata.text("general.architecture")?;
    let Some(style) = style::STYLES.iter().find(|style| style.name == name) else {
        return Err(EngineError::UnknownArchitecture { found: shown(name), supported: supported() });
    };
    let config = DecoderConfig::read(&gguf.metadata, *style)?;
    let graph = decoder::build(*style, &config, gguf, bytes, context.min(config.context))?;
    Ok((config, graph))
}

/// A hostile name may be of any length.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

fn supported() -> String {
    let mut names: Vec<String> = style::STYLES.iter().map(|style| format!("`{}`", style.name)).collect();
    let last = names.pop().unwrap_or_default();
    format!("{} and {last}", names.join(", "))
}
