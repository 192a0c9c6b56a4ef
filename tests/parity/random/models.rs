//! Small models of random weights: they say nothing sensible, but each says it the same everywhere.
//!
//! A model is described by its sizes and metadata; its weights follow from its name. So the reference
//! engine and the tests read the same bytes, and the files need not be kept.

use nearside_gguf::DataType::{
    self, Bf16, F16, F32, Iq2Xxs, Iq4Nl, Iq4Xs, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0,
};
use nearside_gguf::{Texts, Value, Writer};

#[path = "weights.rs"]
mod weights;

use weights::Random;

/// Tokens there are; odd, so that no block of rows comes out even.
const VOCABULARY: usize = 97;
/// Tokens of the text that each model reads.
const TEXT: usize = 64;

/// One model.
pub(crate) struct RandomModel {
    /// Its name, from which its weights follow.
    pub(crate) name: &'static str,
    /// The contexts in which it is asked: some models rotate otherwise in a longer one.
    pub(crate) contexts: &'static [usize],
    architecture: &'static str,
    layers: u64,
    width: u64,
    feed_forward: u64,
    heads: u64,
    kv_heads: u64,
    head_dim: u64,
    /// Whether the logits have a matrix of their own.
    own_output: bool,
    /// Formats of the matrices, in turn; one whose blocks do not fit in a row is passed over.
    pub(crate) formats: &'static [DataType],
    /// Keys beside the sizes, the architecture's name left out.
    metadata: Vec<(&'static str, Value)>,
    /// Factors for the pairs of a head, growing from pair to pair.
    factors: &'static [(&'static str, [f32; 2])],
}

impl Default for RandomModel {
    fn default() -> Self {
        Self {
            name: "",
            contexts: &[256],
            architecture: "llama",
            layers: 3,
            width: 80,
            feed_forward: 112,
            heads: 6,
            kv_heads: 2,
            head_dim: 16,
            own_output: true,
            formats: &[F32],
            metadata: Vec::new(),
            factors: &[],
        }
    }
}

fn float(number: f64) -> Value {
    Value::Float(number)
}

fn number(number: u64) -> Value {
    Value::Unsigned(number)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Every model there is. Bases and factors are such that each difference shows within the short text.
pub(crate) fn models() -> Vec<RandomModel> {
    vec![
        RandomModel {
            name: "llama-linear",
            heads: 5,
            kv_heads: 1,
            own_output: false,
            metadata: vec![("rope.scaling.type", text("linear")), ("rope.scaling.factor", float(2.5))],
            ..RandomModel::default()
        },
        RandomModel {
            name: "llama-yarn",
            head_dim: 32,
            metadata: vec![
                ("rope.freq_base", float(1000.0)),
                ("rope.scaling.type", text("yarn")),
                ("rope.scaling.factor", float(4.0)),
                ("rope.scaling.original_context_length", number(256)),
            ],
            ..RandomModel::default()
        },
        RandomModel {
            name: "llama-3",
            metadata: vec![("rope.freq_base", float(500.0))],
            factors: &[("rope_freqs.weight", [1.0, 8.0])],
            ..RandomModel::default()
        },
        RandomModel {
            name: "llama-every-small-block",
            width: 96,
            feed_forward: 160,
            heads: 3,
            kv_heads: 1,
            head_dim: 32,
            layers: 2,
            formats: &[Q4_0, Q5_1, Q8_0, Bf16, Q4_1, F16, Q5_0, Iq4Nl],
            ..RandomModel::default()
        },
        RandomModel {
            name: "qwen2-yarn",
            architecture: "qwen2",
            width: 96,
            heads: 6,
            kv_heads: 2,
            metadata: vec![
                ("rope.freq_base", float(2000.0)),
                ("rope.scaling.type", text("yarn")),
                ("rope.scaling.factor", float(2.0)),
                ("rope.scaling.original_context_length", number(128)),
            ],
            ..RandomModel::default()
        },
        RandomModel {
            name: "qwen3",
            architecture: "qwen3",
            head_dim: 24,
            own_output: false,
            metadata: vec![("rope.freq_base", float(1_000_000.0))],
            ..RandomModel::default()
        },
        RandomModel {
            name: "qwen3-every-large-block",
            architecture: "qwen3",
            width: 256,
            feed_forward: 256,
            heads: 5,
            kv_heads: 1,
            head_dim: 64,
            layers: 2,
            formats: &[Q4K, Q6K, Q5K, Q2K, Q3K, Iq2Xxs, Iq4Xs, Q8_0],
            ..RandomModel::default()
        },
        RandomModel {
            name: "gemma3",
            architecture: "gemma3",
            layers: 7,
            width: 72,
            heads: 3,
            kv_heads: 1,
            head_dim: 32,
            own_output: false,
            metadata: vec![
                ("attention.sliding_window", number(12)),
                ("rope.freq_base", float(1_000_000.0)),
                ("rope.scaling.type", text("linear")),
                ("rope.scaling.factor", float(8.0)),
            ],
            ..RandomModel::default()
        },
        RandomModel {
            name: "gemma3-flags",
            architecture: "gemma3",
            layers: 4,
            width: 96,
            head_dim: 32,
            own_output: false,
            formats: &[Q8_0, F16, Q4_0],
            metadata: vec![
                ("attention.sliding_window", number(5)),
                ("attention.sliding_window_pattern", Value::BoolArray(vec![true, false, false, true])),
                ("rope.freq_base", float(100_000.0)),
                ("rope.freq_base_swa", float(300.0)),
            ],
            ..RandomModel::default()
        },
        RandomModel {
            name: "phi3",
            architecture: "phi3",
            width: 96,
            metadata: vec![("rope.dimension_count", number(12)), ("attention.sliding_window", number(9))],
            ..RandomModel::default()
        },
        RandomModel {
            name: "phi3-long",
            contexts: &[512, 1024],
            architecture: "phi3",
            width: 96,
            metadata: vec![
                ("rope.dimension_count", number(12)),
                ("rope.scaling.type", text("longrope")),
                ("rope.scaling.original_context_length", number(512)),
                ("rope.scaling.attn_factor", float(1.19)),
            ],
            factors: &[("rope_factors_short.weight", [1.0, 1.5]), ("rope_factors_long.weight", [1.25, 12.0])],
            ..RandomModel::default()
        },
        RandomModel {
            name: "smollm3",
            architecture: "smollm3",
            layers: 5,
            width: 96,
            own_output: false,
            ..RandomModel::default()
        },
        RandomModel {
            name: "granite",
            architecture: "granite",
            width: 96,
            own_output: false,
            metadata: vec![
                ("embedding_scale", float(12.0)),
                ("residual_scale", float(0.22)),
                ("attention.scale", float(0.1)),
                ("logit_scale", float(0.375)),
            ],
            ..RandomModel::default()
        },
    ]
}

/// A tensor's part of the name, its columns and rows; one row for a vector.
type Part = (&'static str, [u64; 2]);

impl RandomModel {
    /// The file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut writer = self.header();
        let mut matrices = 0;
        let parts = self.layer_parts();
        let mut tensors: Vec<(String, [u64; 2])> = vec![
            ("token_embd.weight".to_owned(), [self.width, VOCABULARY as u64]),
            ("output_norm.weight".to_owned(), [self.width, 1]),
        ];
        if self.own_output {
            tensors.push(("output.weight".to_owned(), [self.width, VOCABULARY as u64]));
        }
        for layer in 0..self.layers {
            tensors.extend(parts.iter().map(|(part, shape)| (format!("blk.{layer}.{part}"), *shape)));
        }
        for (name, [columns, rows]) in tensors {
            let mut random = Random::new(&format!("{} {name}", self.name));
            writer = if rows == 1 {
                let (base, spread) = if name.contains("norm") { (1.0, 0.4) } else { (0.0, 0.5) };
                writer.tensor(&name, F32, &[columns], &weights::vector(&mut random, columns, base, spread))
            } else {
                let fits = |format: &&DataType| columns.is_multiple_of(format.block_elements() as u64);
                let turn = self.formats.iter().cycle().skip(matrices).take(self.formats.len());
                let format = turn.copied().find(|format| fits(&format)).unwrap_or(F32);
                matrices += 1;
                writer.tensor(&name, format, &[columns, rows], &weights::matrix(&mut random, format, columns, rows))
            };
        }
        for (name, [first, last]) in self.factors {
            let pairs = self.rotated() / 2;
            writer = writer.tensor(name, F32, &[pairs], &weights::ramp(*first, *last, pairs));
        }
        writer.finish()
    }

    /// The text that it reads, spread over the vocabulary.
    pub(crate) fn tokens(&self) -> Vec<u32> {
        let mut random = Random::new(&format!("{} text", self.name));
        (0..TEXT).map(|_| random.below(VOCABULARY as u64) as u32).collect()
    }

    fn rotated(&self) -> u64 {
        let named = self.metadata.iter().find(|(key, _)| *key == "rope.dimension_count");
        match named {
            Some((_, Value::Unsigned(rotated))) => *rotated,
            _ => self.head_dim,
        }
    }

    fn header(&self) -> Writer {
        // Letters can be written, the others are only numbers.
        let mut tokens: Vec<String> = ('a'..='z').chain('A'..='Z').map(String::from).collect();
        tokens.extend((tokens.len()..VOCABULARY).map(|token| format!("<{token}>")));
        let mut types = vec![1; VOCABULARY];
        types[VOCABULARY - 1] = 3;
        let sizes = [
            ("block_count", self.layers),
            ("embedding_length", self.width),
            ("feed_forward_length", self.feed_forward),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("attention.key_length", self.head_dim),
            ("attention.value_length", self.head_dim),
            ("context_length", 4096),
        ];
        let full = |key: &str| format!("{}.{key}", self.architecture);
        let mut writer = Writer::new()
            .metadata("general.architecture", text(self.architecture))
            .metadata("general.name", text("random weights"))
            // Read by the script that asks the reference engine.
            .metadata("random.text", Value::UnsignedArray(self.tokens().into_iter().map(u64::from).collect()))
            .metadata(
                "random.contexts",
                Value::UnsignedArray(self.contexts.iter().map(|context| *context as u64).collect()),
            )
            .metadata("tokenizer.ggml.model", text("gpt2"))
            .metadata("tokenizer.ggml.pre", text("smollm"))
            .metadata("tokenizer.ggml.tokens", Value::TextArray(tokens.into()))
            .metadata("tokenizer.ggml.token_type", Value::SignedArray(types))
            .metadata("tokenizer.ggml.merges", Value::TextArray(Texts::default()))
            .metadata("tokenizer.ggml.bos_token_id", number(VOCABULARY as u64 - 1))
            .metadata("tokenizer.ggml.eos_token_id", number(VOCABULARY as u64 - 1))
            .metadata(&full("attention.layer_norm_rms_epsilon"), float(1e-5));
        for (key, size) in sizes {
            writer = writer.metadata(&full(key), number(size));
        }
        for (key, value) in &self.metadata {
            writer = writer.metadata(&full(key), value.clone());
        }
        writer
    }

    fn layer_parts(&self) -> Vec<Part> {
        let Self { width, feed_forward, head_dim, .. } = *self;
        let (query, kv) = (self.heads * head_dim, self.kv_heads * head_dim);
        let mut parts = vec![("attn_norm.weight", [width, 1]), ("ffn_norm.weight", [width, 1])];
        if self.architecture == "phi3" {
            parts.push(("attn_qkv.weight", [width, query + 2 * kv]));
            parts.push(("ffn_up.weight", [width, 2 * feed_forward]));
        } else {
            parts.push(("attn_q.weight", [width, query]));
            parts.push(("attn_k.weight", [width, kv]));
            parts.push(("attn_v.weight", [width, kv]));
            parts.push(("ffn_gate.weight", [width, feed_forward]));
            parts.push(("ffn_up.weight", [width, feed_forward]));
        }
        parts.push(("attn_output.weight", [query, width]));
        parts.push(("ffn_down.weight", [feed_forward, width]));
        if self.architecture == "qwen2" {
            parts.extend([("attn_q.bias", [query, 1]), ("attn_k.bias", [kv, 1]), ("attn_v.bias", [kv, 1])]);
        }
        if matches!(self.architecture, "qwen3" | "gemma3") {
            parts.extend([("attn_q_norm.weight", [head_dim, 1]), ("attn_k_norm.weight", [head_dim, 1])]);
        }
        if self.architecture == "gemma3" {
            parts.extend([("post_attention_norm.weight", [width, 1]), ("post_ffw_norm.weight", [width, 1])]);
        }
        parts
    }
}
