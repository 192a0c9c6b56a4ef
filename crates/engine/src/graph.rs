//! The layer graph: an architecture written out as operations.
//!
//! Operations run in order. Each reads and writes activation slots, matrices of `rows` tokens by the
//! slot's width, in f32. A backend may fuse neighbours as it likes as long as the values agree.

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

impl Graph {
    /// Finds the first reference or width that does not fit, so that backends need not meet one while
    /// they run. The message names the operation.
    pub fn check(&self) -> Result<(), String> {
        for (index, op) in self.ops.iter().enumerate() {
            self.check_op(op).map_err(|problem| format!("operation {index}: {problem}"))?;
        }
        self.width(self.hidden)?;
        expect("the logits", self.width(self.logits)?, self.vocabulary)
    }

    fn check_op(&self, op: &Op) -> Result<(), String> {
        match op {
            Op::Embed { table, output, .. } => {
                let table = self.weight(*table)?;
                expect("rows of the table", table.rows, self.vocabulary)?;
                expect("columns of the table", table.columns, self.width(*output)?)
            }
            Op::RmsNorm { input, weight, group, output, .. } => {
                expect("the output", self.width(*output)?, self.width(*input)?)?;
                expect("the factors", self.vector(*weight)?, *group)?;
                multiple("the width", self.width(*input)?, *group)
            }
            Op::MatMul { weight, bias, residual, input, output, .. } => {
                let matrix = self.weight(*weight)?;
                expect("the input", self.width(*input)?, matrix.columns)?;
                expect("the output", self.width(*output)?, matrix.rows)?;
                if input == output {
                    return Err("a product cannot replace its input".to_owned());
                }
                if let Some(bias) = bias {
                    expect("the bias", self.vector(*bias)?, matrix.rows)?;
                }
                residual.map_or(Ok(()), |slot| expect("the residual", self.width(slot)?, matrix.rows))
            }
            Op::Rope { slot, heads, head_dim, frequencies, .. } => {
                self.heads("the slot", *slot, *heads, *head_dim)?;
                if frequencies.len() > head_dim / 2 {
                    return Err(format!("{} pairs do not fit in a head of {head_dim}", frequencies.len()));
                }
                Ok(())
            }
            Op::StoreCache { layer, key, value } => {
                let shape = self.cache(*layer)?;
                self.heads("the keys", *key, shape.heads, shape.head_dim)?;
                self.heads("the values", *value, shape.heads, shape.head_dim)
            }
            Op::Attention { layer, query, heads, window, output, .. } => {
                let shape = self.cache(*layer)?;
                self.heads("the query", *query, *heads, shape.head_dim)?;
                self.heads("the output", *output, *heads, shape.head_dim)?;
                multiple("the query heads", *heads, shape.heads)?;
                if *window == Some(0) {
                    return Err("a window of 0 sees nothing".to_owned());
                }
                Ok(())
            }
            Op::Gate { gate, up, output, .. } => {
                expect("the gated value", self.width(*up)?, self.width(*gate)?)?;
                expect("the output", self.width(*output)?, self.width(*gate)?)
            }
            Op::Add { left, right, output } => {
                expect("the right side", self.width(*right)?, self.width(*left)?)?;
                expect("the output", self.width(*output)?, self.width(*left)?)
            }
            Op::Columns { input, start, output } => {
                let (input, output) = (self.width(*input)?, self.width(*output)?);
                match start.checked_add(output) {
                    Some(end) if end <= input => Ok(()),
                    _ => Err(format!("columns {start} and {output} more do not lie within {input}")),
                }
            }
            Op::LastRows { input, output } => expect("the output", self.width(*output)?, self.width(*input)?),
        }
    }

    fn width(&self, slot: Slot) -> Result<usize, String> {
        self.slots.get(slot.0).copied().ok_or_else(|| format!("there is no slot {}", slot.0))
    }

    fn weight(&self, weight: Weight) -> Result<&WeightSpec, String> {
        self.weights.get(weight.0).ok_or_else(|| format!("there is no weight {}", weight.0))
    }

    fn vector(&self, weight: Weight) -> Result<usize, String> {
        let spec = self.weight(weight)?;
        expect("rows of a vector", spec.rows, 1)?;
        Ok(spec.columns)
    }

    fn cache(&self, layer: usize) -> Result<&CacheShape, String> {
        self.caches.get(layer).ok_or_else(|| format!("there is no cache {layer}"))
    }

    fn heads(&self, what: &str, slot: Slot, heads: usize, head_dim: usize) -> Result<(), String> {
        match heads.checked_mul(head_dim) {
            Some(width) if width > 0 => expect(what, self.width(slot)?, width),
            _ => Err(format!("{what}: {heads} heads of {head_dim} have no width")),
        }
    }
}

fn multiple(what: &str, value: usize, of: usize) -> Result<(), String> {
    if of == 0 || value == 0 || !value.is_multiple_of(of) {
        return Err(format!("{what}: {value} is not a multiple of {of}"));
    }
    Ok(())
}

fn expect(what: &str, found: usize, expected: usize) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found} wide, {expected} expected")) }
}
