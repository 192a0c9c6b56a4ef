//! The angles by which heads rotate.

use std::sync::Arc;

use nearside_gguf::{ByteSource, DataType, Gguf};

use super::builder::Builder;
use crate::EngineError;
use crate::config::{RopeConfig, RopeScaling};

/// One factor for each pair, in a file whose context was extended (Llama 3.1 and later).
const FACTORS: &str = "rope_freqs.weight";
/// Two sets of such factors, one for contexts up to the original one and one beyond it (long rope).
const SHORT_FACTORS: &str = "rope_factors_short.weight";
const LONG_FACTORS: &str = "rope_factors_long.weight";

/// How heads rotate.
pub(super) struct Rotation {
    /// On layers that see everything.
    pub(super) whole: Angles,
    /// On layers with a window: never scaled, for no distance there exceeds the window.
    pub(super) windowed: Angles,
}

/// The angle of one position for each pair of elements.
pub(super) struct Angles {
    pub(super) frequencies: Arc<[f32]>,
    /// Multiplies sine and cosine.
    pub(super) magnitude: f32,
}

impl Rotation {
    pub(super) fn read(
        config: &RopeConfig,
        gguf: &Gguf,
        bytes: &dyn ByteSource,
        context: usize,
        builder: &mut Builder<'_>,
    ) -> Result<Self, EngineError> {
        let pairs = config.rotated / 2;
        let factors = if builder.holds(FACTORS) {
            builder.mark_read(FACTORS);
            factors(FACTORS, pairs, gguf, bytes)?
        } else {
            builder.mark_read(SHORT_FACTORS);
            builder.mark_read(LONG_FACTORS);
            let chosen = if context > config.original_context { LONG_FACTORS } else { SHORT_FACTORS };
            factors(chosen, pairs, gguf, bytes)?
        };
        let whole = frequencies(config.base, config.rotated).zip(factors).enumerate();
        let whole = whole.map(|(pair, (frequency, factor))| frequency / factor * scaled(config, pair));
        Ok(Self {
            whole: Angles {
                frequencies: whole.map(|frequency| frequency as f32).collect(),
                magnitude: magnitude(config) as f32,
            },
            windowed: Angles {
                frequencies: frequencies(config.window_base, config.rotated).map(|one| one as f32).collect(),
                magnitude: config.magnitude as f32,
            },
        })
    }
}

/// `base^(-2 pair / rotated)` for each pair.
fn frequencies(base: f64, rotated: usize) -> impl Iterator<Item = f64> {
    (0..rotated / 2).map(move |pair| base.powf(-2.0 * pair as f64 / rotated as f64))
}

/// What scaling leaves of a pair's frequency.
fn scaled(config: &RopeConfig, pair: usize) -> f64 {
    match config.scaling {
        RopeScaling::Linear { factor } => 1.0 / factor,
        RopeScaling::Yarn { factor, beta_fast, beta_slow } => {
            let last = config.rotated as f64 - 1.0;
            let low = turning(config, beta_fast).floor().max(0.0);
            let high = turning(config, beta_slow).ceil().min(last);
            let kept = 1.0 - ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
            kept + (1.0 - kept) / factor
        }
    }
}

/// The pair, counted in fractions, that turns so often within the original context.
fn turning(config: &RopeConfig, turns: f64) -> f64 {
    let length = config.original_context as f64 / (turns * std::f64::consts::TAU);
    config.rotated as f64 * length.ln() / (2.0 * config.base.ln())
}

/// Yarn sharpens the scores that longer texts would blur.
fn magnitude(config: &RopeConfig) -> f64 {
    match config.scaling {
        RopeScaling::Linear { .. } => config.magnitude,
        RopeScaling::Yarn { factor, .. } => config.magnitude * (1.0 + 0.1 * factor.ln()),
    }
}

/// The file's divisor for each pair's frequency; 1 where it has none.
fn factors(name: &str, pairs: usize, gguf: &Gguf, bytes: &dyn ByteSource) -> Result<Vec<f64>, EngineError> {
    let Some(tensor) = gguf.tensor(name) else {
        return Ok(vec![1.0; pairs]);
    };
    let wrong = |problem: String| EngineError::Tensor { name: name.to_owned(), problem };
    if tensor.data_type != DataType::F32 || (tensor.rows(), tensor.columns()) != (1, pairs as u64) {
        return Err(wrong(format!("it is not {pairs} elements of F32")));
    }
    let mut stored = vec![0; pairs * 4];
    bytes.read_at(tensor.offset, &mut stored)?;
    let mut factors = Vec::with_capacity(pairs);
    for stored in stored.chunks_exact(4) {
        let factor = f32::from_le_bytes([stored[0], stored[1], stored[2], stored[3]]);
        if !(1e-6..=1e6).contains(&factor) {
            return Err(wrong(format!("the factor {factor} is not between 1e-6 and 1e6")));
        }
        factors.push(f64::from(factor));
    }
    Ok(factors)
}
