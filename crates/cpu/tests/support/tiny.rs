//! A model of a few thousand seeded weights: it says nothing sensible, but always the same.

use nearside_gguf::{ByteSource, DataType, Texts, Value, Writer};

/// The sizes of a tiny model.
#[derive(Debug, Clone)]
pub(crate) struct Tiny {
    /// `general.architecture`.
    pub(crate) architecture: &'static str,
    /// Width.
    pub(crate) width: u64,
    /// Query heads.
    pub(crate) heads: u64,
    /// Key/value heads.
    pub(crate) kv_heads: u64,
    /// Whether there is a matrix of its own for the output.
    pub(crate) own_head: bool,
    /// Whether queries, keys and values have a bias.
    pub(crate) biases: bool,
    /// The context in the metadata.
    pub(crate) context: u64,
    /// A tensor left out, or written with another shape.
    pub(crate) damage: Option<(&'static str, Option<[u64; 2]>)>,
    /// Tokens beyond those with embeddings.
    pub(crate) extra_tokens: usize,
}

impl Default for Tiny {
    fn default() -> Self {
        Self {
            architecture: "llama",
            width: 32,
            heads: 4,
            kv_heads: 2,
            own_head: false,
            biases: false,
            context: 64,
            damage: None,
            extra_tokens: 0,
        }
    }
}

/// The end of an answer. The letters a to z come before it.
pub(crate) const END: u32 = 26;
/// Tokens in all.
pub(crate) const VOCABULARY: u64 = 27;
const FEED_FORWARD: u64 = 48;

/// Numbers between -0.5 and 0.5 that depend on the name only.
pub(crate) fn numbers(name: &str, count: u64) -> Vec<f32> {
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
        })
        .collect()
}

impl Tiny {
    /// The file.
    pub(crate) fn file(&self) -> ModelBytes {
        let key = |name: &str| format!("{}.{name}", self.architecture);
        let mut tokens: Vec<String> = ('a'..='z').map(String::from).collect();
        tokens.push("<|im_end|>".to_owned());
        tokens.extend((0..self.extra_tokens).map(|extra| format!("<extra{extra}>")));
        let mut types = vec![1; tokens.len()];
        types[END as usize] = 3;
        let mut writer = Writer::new()
            .metadata("general.architecture", Value::Text(self.architecture.to_owned()))
            .metadata("general.name", Value::Text("tiny".to_owned()))
            .metadata(&key("block_count"), Value::Unsigned(2))
            .metadata(&key("embedding_length"), Value::Unsigned(self.width))
            .metadata(&key("feed_forward_length"), Value::Unsigned(FEED_FORWARD))
            .metadata(&key("attention.head_count"), Value::Unsigned(self.heads))
            .metadata(&key("attention.head_count_kv"), Value::Unsigned(self.kv_heads))
            .metadata(&key("attention.layer_norm_rms_epsilon"), Value::Float(1e-5))
            .metadata(&key("context_length"), Value::Unsigned(self.context))
            .metadata("tokenizer.ggml.model", Value::Text("gpt2".to_owned()))
            .metadata("tokenizer.ggml.pre", Value::Text("smollm".to_owned()))
            .metadata("tokenizer.ggml.tokens", Value::TextArray(tokens.into()))
            .metadata("tokenizer.ggml.token_type", Value::SignedArray(types))
            .metadata("tokenizer.ggml.merges", Value::TextArray(Texts::default()))
            .metadata("tokenizer.ggml.eos_token_id", Value::Unsigned(u64::from(END)));
        for (name, [columns, rows]) in self.tensors() {
            let columns_and_rows = match self.damage {
                Some((damaged, None)) if damaged == name => continue,
                Some((damaged, Some(shape))) if damaged == name => shape,
                _ => [columns, rows],
            };
            let [columns, rows] = columns_and_rows;
            let spread = if name.contains("norm") { 0.1 } else { 1.5 };
            let base = if name.contains("norm") { 1.0 } else { 0.0 };
            let bytes: Vec<u8> = numbers(&name, columns * rows)
                .iter()
                .flat_map(|number| (base + number * spread).to_le_bytes())
                .collect();
            let shape = if rows == 1 { vec![columns] } else { vec![columns, rows] };
            writer = writer.tensor(&name, DataType::F32, &shape, &bytes);
        }
        ModelBytes(writer.finish())
    }

    fn tensors(&self) -> Vec<(String, [u64; 2])> {
        let Self { width, heads, kv_heads, .. } = *self;
        let kv_width = width / heads * kv_heads;
        let mut tensors = vec![("token_embd.weight".to_owned(), [width, VOCABULARY])];
        if self.own_head {
            tensors.push(("output.weight".to_owned(), [width, VOCABULARY]));
        }
        tensors.push(("output_norm.weight".to_owned(), [width, 1]));
        for layer in 0..2 {
            let mut add = |part: &str, shape| tensors.push((format!("blk.{layer}.{part}"), shape));
            add("attn_norm.weight", [width, 1]);
            add("attn_q.weight", [width, width]);
            add("attn_k.weight", [width, kv_width]);
            add("attn_v.weight", [width, kv_width]);
            add("attn_output.weight", [width, width]);
            add("ffn_norm.weight", [width, 1]);
            add("ffn_gate.weight", [width, FEED_FORWARD]);
            add("ffn_up.weight", [width, FEED_FORWARD]);
            add("ffn_down.weight", [FEED_FORWARD, width]);
            if self.biases {
                add("attn_q.bias", [width, 1]);
                add("attn_k.bias", [kv_width, 1]);
                add("attn_v.bias", [kv_width, 1]);
            }
        }
        tensors
    }
}

/// A file in memory.
pub(crate) struct ModelBytes(pub(crate) Vec<u8>);

impl ByteSource for ModelBytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), nearside_gguf::SourceError> {
        self.0.as_slice().read_at(offset, buffer)
    }
}
