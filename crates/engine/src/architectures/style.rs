//! What sets one dense architecture apart from another.

use crate::graph::{Activation, RopePairing};

/// One architecture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// The file's `general.architecture`.
    pub(crate) name: &'static str,
    /// Which elements of a head rotate together.
    pub(crate) pairing: RopePairing,
    /// The gate of the feed-forward.
    pub(crate) activation: Activation,
    /// What it has beyond the plain decoder.
    pub(crate) traits: &'static [Trait],
}

/// Something that only some architectures have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trait {
    /// Queries and keys are normed head by head before they rotate.
    HeadNorms,
    /// What attention and feed-forward bring is normed before it joins the residual stream.
    ClosingNorms,
    /// Embeddings are multiplied by the root of their width.
    ScaledEmbeddings,
    /// With so many layers, scores are scaled as if the heads shared the width among them.
    ScoresByWidth {
        /// How many.
        layers: usize,
    },
    /// Where the file names a window, the last layer of each period sees everything and the others that
    /// many positions, with a rotation of their own. The file can name another period or each layer.
    Windows {
        /// How many layers, where the file does not say.
        period: u64,
    },
    /// The last layer of each period does not rotate.
    Unrotated {
        /// How many layers.
        period: usize,
    },
    /// Gate and up are one matrix, `ffn_up`, gate first.
    FusedGate,
    /// The file brings factors for embeddings, scores, residuals and logits, and says whether heads rotate.
    Multipliers,
}

impl Style {
    pub(crate) fn has(&self, one: Trait) -> bool {
        self.traits.contains(&one)
    }
}

/// The architectures that run. GGUF files of the llama family store queries and keys permuted, so that
/// neighbouring elements rotate together.
///
/// Files of phi3 name a window too, but count it in several ways; the reference engine sees everything
/// whatever they say, and so does this one.
pub(super) const STYLES: &[Style] = &[
    Style { name: "llama", pairing: RopePairing::Adjacent, activation: Activation::Silu, traits: &[] },
    Style { name: "qwen2", pairing: RopePairing::Halves, activation: Activation::Silu, traits: &[] },
    Style { name: "qwen3", pairing: RopePairing::Halves, activation: Activation::Silu, traits: &[Trait::HeadNorms] },
    Style {
        name: "gemma3",
        pairing: RopePairing::Halves,
        activation: Activation::GeluTanh,
        traits: &[
            Trait::HeadNorms,
            Trait::ClosingNorms,
            Trait::ScaledEmbeddings,
            Trait::ScoresByWidth { layers: 62 },
            Trait::Windows { period: 6 },
        ],
    },
    Style { name: "phi3", pairing: RopePairing::Halves, activation: Activation::Silu, traits: &[Trait::FusedGate] },
    Style {
        name: "smollm3",
        pairing: RopePairing::Adjacent,
        activation: Activation::Silu,
        traits: &[Trait::Unrotated { period: 4 }],
    },
    Style {
        name: "granite",
        pairing: RopePairing::Adjacent,
        activation: Activation::Silu,
        traits: &[Trait::Multipliers],
    },
];
