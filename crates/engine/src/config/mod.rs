//! A decoder's sizes, read from metadata and checked before anything is built from them.

mod keys;
mod rope;

use nearside_gguf::Metadata;

pub use self::rope::{RopeConfig, RopeScaling};
use crate::EngineError;
use crate::architectures::{Style, Trait};
use keys::Keys;

/// No model has more layers; the graph is built by this number.
const MAX_LAYERS: usize = 1024;
/// No model is wider; products of two widths stay far below 2⁶⁴.
const MAX_WIDTH: usize = 1 << 20;
/// No model was trained on longer texts.
const MAX_CONTEXT: usize = 1 << 24;

/// The sizes of a dense decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The file's `general.architecture`, which also prefixes its keys.
    pub architecture: String,
    /// What differs from layer to layer.
    pub layers: Vec<LayerConfig>,
    /// Width of the residual stream.
    pub width: usize,
    /// Width of the feed-forward's inside.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; they divide the query heads.
    pub kv_heads: usize,
    /// Elements of one head.
    pub head_dim: usize,
    /// How positions become rotations.
    pub rope: RopeConfig,
    /// What values are multiplied by on their way.
    pub scales: Scales,
    /// Added under the root of the norms.
    pub epsilon: f32,
    /// Positions the model was trained for.
    pub context: usize,
}

/// What differs from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerConfig {
    /// How many latest positions its attention sees, itself included; all when absent.
    pub window: Option<usize>,
    /// Whether queries and keys rotate by their position.
    pub rotates: bool,
}

/// What values are multiplied by on their way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scales {
    /// Embeddings.
    pub embedding: f32,
    /// Scores of attention.
    pub attention: f32,
    /// What attention and feed-forward add to the residual stream.
    pub residual: f32,
    /// The logits.
    pub logits: f32,
}

impl DecoderConfig {
    /// Reads the keys of one architecture.
    pub(crate) fn read(metadata: &Metadata, style: Style) -> Result<Self, EngineError> {
        let keys = Keys { metadata, architecture: style.name };
        let layers = keys.size("block_count", MAX_LAYERS)?;
        let width = keys.size("embedding_length", MAX_WIDTH)?;
        let feed_forward = keys.size("feed_forward_length", MAX_WIDTH)?;
        let heads = keys.size("attention.head_count", width)?;
        let kv_heads = keys.size_if_present("attention.head_count_kv", heads)?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(
                keys.wrong("attention.head_count_kv", format!("{kv_heads} does not divide the {heads} query heads"))
            );
        }
        let head_dim = match keys.size_if_present("attention.key_length", MAX_WIDTH)? {
            Some(length) => length,
            None if width.is_multiple_of(heads) => width / heads,
            None => {
                return Err(keys.wrong("attention.head_count", format!("{heads} does not divide the width {width}")));
            }
        };
        if head_dim.checked_mul(heads).is_none_or(|size| size > MAX_WIDTH) {
            return Err(
                keys.wrong("attention.key_length", format!("{heads} heads of {head_dim} are wider than {MAX_WIDTH}"))
            );
        }
        if let Some(value) = keys.size_if_present("attention.value_length", MAX_WIDTH)?
            && value != head_dim
        {
            return Err(keys.wrong("attention.value_length", format!("{value} differs from the key length {head_dim}")));
        }
        let context = keys.size("context_length", MAX_CONTEXT)?;
        if let Some(cap) = keys.factor_if_present("final_logit_softcapping")? {
            return Err(keys.wrong("final_logit_softcapping", format!("logits cannot be capped at {cap} here")));
        }
        Ok(Self {
            architecture: style.name.to_owned(),
            layers: layer_configs(&keys, style, layers)?,
            width,
            feed_forward,
            heads,
            kv_heads,
            head_dim,
            rope: RopeConfig::read(&keys, head_dim, context)?,
            scales: Scales::read(&keys, style, layers, width, heads, head_dim)?,
            epsilon: keys.factor("attention.layer_norm_rms_epsilon")? as f32,
            context,
        })
    }

    /// Width of all query heads side by side.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key or value heads side by side.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

fn layer_configs(keys: &Keys<'_>, style: Style, layers: usize) -> Result<Vec<LayerConfig>, EngineError> {
    let rotates = !style.has(Trait::Multipliers) || keys.flag_if_present("rope.scaling.finetuned")?.unwrap_or(true);
    let mut configs = vec![LayerConfig { window: None, rotates }; layers];
    for one in style.traits {
        match one {
            Trait::Windows { period } => {
                let window = keys.size_or_none("attention.sliding_window", MAX_CONTEXT)?;
                let windowed = keys.pattern("attention.sliding_window_pattern", layers, *period)?;
                for (config, _) in configs.iter_mut().zip(windowed).filter(|(_, windowed)| *windowed) {
                    config.window = window;
                }
            }
            Trait::Unrotated { period } => {
                for config in configs.iter_mut().skip(period - 1).step_by(*period) {
                    config.rotates = false;
                }
            }
            _ => {}
        }
    }
    Ok(configs)
}

impl Scales {
    fn read(
        keys: &Keys<'_>,
        style: Style,
        layers: usize,
        width: usize,
        heads: usize,
        head_dim: usize,
    ) -> Result<Self, EngineError> {
        let mut scales = Self { embedding: 1.0, attention: 1.0 / (head_dim as f32).sqrt(), residual: 1.0, logits: 1.0 };
        for one in style.traits {
            match one {
                Trait::ScaledEmbeddings => scales.embedding = (width as f32).sqrt(),
                Trait::ScoresByWidth { layers: such } if *such == layers => {
                    scales.attention = 1.0 / ((width / heads) as f32).sqrt();
                }
                Trait::Multipliers => {
                    let factor = |key, scale: &mut f32| -> Result<(), EngineError> {
                        if let Some(factor) = keys.factor_if_present(key)? {
                            *scale = factor as f32;
                        }
                        Ok(())
                    };
                    factor("embedding_scale", &mut scales.embedding)?;
                    factor("attention.scale", &mut scales.attention)?;
                    factor("residual_scale", &mut scales.residual)?;
                    scales.logits = 1.0 / keys.factor("logit_scale")? as f32;
                }
                _ => {}
            }
        }
        Ok(scales)
    }
}

#[cfg(test)]
mod tests;
