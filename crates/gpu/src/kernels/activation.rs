//! The activations of gated feed-forwards.

use nearside_engine::graph::Activation;

use crate::template::Definition;

/// `activate` in WGSL, directed by [`definition`].
pub(super) const ACTIVATION: &str = include_str!("activation.wgsl");

/// Says which activation it is.
pub(super) fn definition(activation: Activation) -> Definition {
    ("SILU", u32::from(activation == Activation::Silu))
}

/// Of one element.
pub(super) fn plain(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        }
    }
}
