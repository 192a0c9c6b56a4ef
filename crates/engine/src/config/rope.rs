//! How positions become rotations.

use super::MAX_CONTEXT;
use super::keys::Keys;
use crate::EngineError;

/// The rotation's own settings.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// How many elements of a head rotate; even.
    pub rotated: usize,
    /// The base of the frequencies.
    pub base: f64,
    /// The base on layers with a window, where nothing is scaled.
    pub window_base: f64,
    /// How positions beyond the original context are brought within it.
    pub scaling: RopeScaling,
    /// Multiplies sine and cosine.
    pub magnitude: f64,
    /// Positions the model was first trained for, before its context was extended.
    pub original_context: usize,
}

/// How positions beyond the original context are brought within it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Every angle is divided by the factor; 1 changes nothing.
    Linear {
        /// How much longer the context became.
        factor: f64,
    },
    /// Slow angles are divided by the factor, fast ones stay, those between are mixed.
    Yarn {
        /// How much longer the context became, at least 1.
        factor: f64,
        /// Pairs that turn more often than this within the original context stay.
        beta_fast: f64,
        /// Pairs that turn less often are divided.
        beta_slow: f64,
    },
}

impl RopeConfig {
    pub(super) fn read(keys: &Keys<'_>, head_dim: usize, context: usize) -> Result<Self, EngineError> {
        let rotated = keys.size_if_present("rope.dimension_count", head_dim)?.unwrap_or(head_dim);
        if !rotated.is_multiple_of(2) {
            return Err(keys.wrong("rope.dimension_count", format!("{rotated} is odd")));
        }
        Ok(Self {
            rotated,
            base: base(keys, "rope.freq_base")?,
            window_base: base(keys, "rope.freq_base_swa")?,
            scaling: RopeScaling::read(keys)?,
            magnitude: keys.factor_if_present("rope.scaling.attn_factor")?.unwrap_or(1.0),
            original_context: keys
                .size_or_none("rope.scaling.original_context_length", MAX_CONTEXT)?
                .unwrap_or(context),
        })
    }
}

/// A base above 1, so that frequencies fall from pair to pair.
fn base(keys: &Keys<'_>, key: &str) -> Result<f64, EngineError> {
    let base = keys.factor_if_present(key)?.unwrap_or(10_000.0);
    if base > 1.0 { Ok(base) } else { Err(keys.wrong(key, format!("{base} is not above 1"))) }
}

impl RopeScaling {
    fn read(keys: &Keys<'_>) -> Result<Self, EngineError> {
        let factor = match keys.factor_if_present("rope.scaling.factor")? {
            Some(factor) => factor,
            // The key's first name.
            None => keys.factor_if_present("rope.scale_linear")?.unwrap_or(1.0),
        };
        match keys.text_if_present("rope.scaling.type")? {
            Some("none") => Ok(Self::Linear { factor: 1.0 }),
            // The factors for single pairs that make a rope long come as a tensor, beside this one.
            None | Some("linear" | "longrope") => Ok(Self::Linear { factor }),
            Some("yarn") if factor < 1.0 => {
                Err(keys.wrong("rope.scaling.factor", format!("{factor} would shorten the context")))
            }
            Some("yarn") => Ok(Self::Yarn {
                factor,
                beta_fast: keys.factor_if_present("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: keys.factor_if_present("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            }),
            Some(other) => Err(keys.wrong(
                "rope.scaling.type",
                format!("`{other}` is not one of `none`, `linear`, `longrope` and `yarn`"),
            )),
        }
    }
}
