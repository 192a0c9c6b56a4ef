//! The layer graph: an architecture written out as operations.
//!
//! Operations run in order. Each reads and writes activation slots, matrices of `rows` tokens by the
//! slot's width, in f32. A backend may fuse neighbours as it likes as long as the values agree.

mod check;

pub use check::{GraphError, GraphProblem};

/// Index of an activation slot in [`Graph::slots`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub usize);

/// Index of a weight in [`Graph::weights`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Weight(pub usize);

/// One tensor of the file that the graph uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightSpec {
    /// The tensor's name in the file.
    pub name: String,
    /// Output features: 1 for a vector.
    pub rows: usize,
    /// Input features: the length of one stored row.
    pub columns: usize,
}

/// Which elements of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairing {
    /// Elements `2i` and `2i + 1` (llama).
    Adjacent,
    /// Elements `i` and `i + rotated / 2` (qwen2, gemma3, phi3).
    Halves,
}

/// The activation of a gated feed-forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// The tanh approximation of GELU.
    GeluTanh,
}

/// The keys and values that one layer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Key/value heads.
    pub heads: usize,
    /// Elements in one head.
    pub head_dim: usize,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `output[row] = table[token[row]] * scale`.
    Embed {
        /// Token embeddings, one row a token.
        table: Weight,
        /// 1 for most architectures.
        scale: f32,
        /// Where the rows go.
        output: Slot,
    },
    /// Root-mean-square norm of every `group` elements (the whole row, or each head), times `weight`.
    RmsNorm {
        /// What to normalise.
        input: Slot,
        /// `group` factors.
        weight: Weight,
        /// How many consecutive elements share one norm.
        group: usize,
        /// Added under the root.
        epsilon: f32,
        /// May be `input`.
        output: Slot,
    },
    /// `output = input · weightᵀ * scale + bias + residual`.
    MatMul {
        /// `rows` outputs of `columns` inputs each.
        weight: Weight,
        /// One factor for each output.
        bias: Option<Weight>,
        /// Multiplies the product, before bias and residual.
        scale: f32,
        /// Added to the product; may be `output`.
        residual: Option<Slot>,
        /// What is multiplied.
        input: Slot,
        /// Where it goes; never `input`.
        output: Slot,
    },
    /// Rotates each head of `slot` in place by its token's position.
    Rope {
        /// Heads side by side.
        slot: Slot,
        /// How many.
        heads: usize,
        /// Elements of one head.
        head_dim: usize,
        /// Which elements rotate together.
        pairing: RopePairing,
        /// The angle of one position for each pair, `rotated / 2` of them, scaling already applied.
        frequencies: std::sync::Arc<[f32]>,
        /// Multiplies sine and cosine (yarn, long rope); 1 otherwise.
        magnitude: f32,
    },
    /// Appends this step's keys and values to a layer's cache.
    StoreCache {
        /// Index in [`Graph::caches`].
        layer: usize,
        /// `heads * head_dim` wide.
        key: Slot,
        /// `heads * head_dim` wide.
        value: Slot,
    },
    /// Causal attention of `query` over everything in the layer's cache, this step included.
    Attention {
        /// Index in [`Graph::caches`].
        layer: usize,
        /// `heads * head_dim` wide.
        query: Slot,
        /// Query heads; a multiple of the cache's heads.
        heads: usize,
        /// Multiplies the scores.
        scale: f32,
        /// How many latest positions are seen, itself included; all when absent.
        window: Option<usize>,
        /// As wide as `query`.
        output: Slot,
    },
    /// `output = activation(gate) * up`.
    Gate {
        /// Goes through the activation.
        gate: Slot,
        /// Multiplies it.
        up: Slot,
        /// Which activation.
        activation: Activation,
        /// May be `gate` or `up`.
        output: Slot,
    },
    /// `output = left + right`.
    Add {
        /// One side.
        left: Slot,
        /// The other.
        right: Slot,
        /// May be either.
        output: Slot,
    },
    /// Copies columns `start .. start + width(output)` of `input` (fused projections).
    Columns {
        /// The wider slot.
        input: Slot,
        /// First column.
        start: usize,
        /// The narrower slot.
        output: Slot,
    },
    /// From here on only the rows count for which the step wants something: copies the step's last rows,
    /// as many as it chooses tokens for, to the first rows of `output`.
    LastRows {
        /// All rows.
        input: Slot,
        /// As many rows as the step chooses tokens for.
        output: Slot,
    },
}

/// A whole model as operations.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Width of each activation slot.
    pub slots: Vec<usize>,
    /// The tensors used, each once.
    pub weights: Vec<WeightSpec>,
    /// What each layer keeps of the past.
    pub caches: Vec<CacheShape>,
    /// In order of execution.
    pub ops: Vec<Op>,
    /// The final hidden states (after the last norm), of every token.
    pub hidden: Slot,
    /// The logits, one row of `vocabulary` for each row that the step chooses a token for.
    pub logits: Slot,
    /// Width of `logits`.
    pub vocabulary: usize,
}
