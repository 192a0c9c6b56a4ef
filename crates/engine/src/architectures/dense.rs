//! The dense decoder family, from token to logits.

use std::sync::Arc;

use nearside_gguf::{ByteSource, DataType, Gguf};

use super::DenseStyle;
use super::builder::Builder;
use crate::EngineError;
use crate::config::DecoderConfig;
use crate::graph::{Activation, CacheShape, Graph, Op, Slot};

const EMBEDDINGS: &str = "token_embd.weight";
const ROPE_FACTORS: &str = "rope_freqs.weight";

pub(super) fn build(
    style: DenseStyle,
    config: &DecoderConfig,
    gguf: &Gguf,
    bytes: &dyn ByteSource,
) -> Result<Graph, EngineError> {
    let vocabulary = vocabulary(gguf)?;
    let mut builder = Builder::new(gguf);
    let frequencies = frequencies(config, gguf, bytes, &mut builder)?;
    let table = builder.matrix(EMBEDDINGS, vocabulary, config.width)?;
    let slots = Slots::new(config, vocabulary, &mut builder);
    let mut ops = vec![Op::Embed { table, scale: 1.0, output: slots.stream }];
    for layer in 0..config.layers {
        attention(style, config, layer, &slots, &frequencies, &mut builder, &mut ops)?;
        feed_forward(config, layer, &slots, &mut builder, &mut ops)?;
    }
    ops.push(Op::RmsNorm {
        input: slots.stream,
        weight: builder.vector("output_norm.weight", config.width)?,
        group: config.width,
        epsilon: config.epsilon,
        output: slots.hidden,
    });
    ops.push(Op::LastRows { input: slots.hidden, output: slots.last });
    // Small models share one matrix between the first and the last operation.
    let head = builder.matrix_if_present("output.weight", vocabulary, config.width)?.unwrap_or(table);
    ops.push(Op::MatMul {
        weight: head,
        bias: None,
        scale: 1.0,
        residual: None,
        input: slots.last,
        output: slots.logits,
    });
    builder.check_all_used()?;
    let cache = CacheShape { heads: config.kv_heads, head_dim: config.head_dim };
    Ok(Graph {
        slots: builder.slots,
        weights: builder.weights,
        caches: vec![cache; config.layers],
        ops,
        hidden: slots.hidden,
        logits: slots.logits,
        vocabulary,
    })
}

struct Slots {
    stream: Slot,
    normed: Slot,
    query: Slot,
    key: Slot,
    value: Slot,
    attended: Slot,
    gate: Slot,
    up: Slot,
    last: Slot,
    hidden: Slot,
    logits: Slot,
}

impl Slots {
    fn new(config: &DecoderConfig, vocabulary: usize, builder: &mut Builder<'_>) -> Self {
        Self {
            stream: builder.slot(config.width),
            normed: builder.slot(config.width),
            query: builder.slot(config.query_width()),
            key: builder.slot(config.kv_width()),
            value: builder.slot(config.kv_width()),
            attended: builder.slot(config.query_width()),
            gate: builder.slot(config.feed_forward),
            up: builder.slot(config.feed_forward),
            last: builder.slot(config.width),
            hidden: builder.slot(config.width),
            logits: builder.slot(vocabulary),
        }
    }
}

fn attention(
    style: DenseStyle,
    config: &DecoderConfig,
    layer: usize,
    slots: &Slots,
    frequencies: &Arc<[f32]>,
    builder: &mut Builder<'_>,
    ops: &mut Vec<Op>,
) -> Result<(), EngineError> {
    let name = |part: &str| format!("blk.{layer}.{part}");
    ops.push(Op::RmsNorm {
        input: slots.stream,
        weight: builder.vector(&name("attn_norm.weight"), config.width)?,
        group: config.width,
        epsilon: config.epsilon,
        output: slots.normed,
    });
    let projections = [
        ("attn_q", config.query_width(), slots.query),
        ("attn_k", config.kv_width(), slots.key),
        ("attn_v", config.kv_width(), slots.value),
    ];
    for (part, width, output) in projections {
        ops.push(Op::MatMul {
            weight: builder.matrix(&name(&format!("{part}.weight")), width, config.width)?,
            bias: builder.vector_if_present(&name(&format!("{part}.bias")), width)?,
            scale: 1.0,
            residual: None,
            input: slots.normed,
            output,
        });
    }
    for (slot, heads) in [(slots.query, config.heads), (slots.key, config.kv_heads)] {
        ops.push(Op::Rope {
            slot,
            heads,
            head_dim: config.head_dim,
            pairing: style.pairing,
            frequencies: Arc::clone(frequencies),
            magnitude: 1.0,
        });
    }
    ops.push(Op::StoreCache { layer, key: slots.key, value: slots.value });
    ops.push(Op::Attention {
        layer,
        query: slots.query,
        heads: config.heads,
        scale: 1.0 / (config.head_dim as f32).sqrt(),
        window: None,
        output: slots.attended,
    });
    ops.push(Op::MatMul {
        weight: builder.matrix(&name("attn_output.weight"), config.width, config.query_width())?,
        bias: builder.vector_if_present(&name("attn_output.bias"), config.width)?,
        scale: 1.0,
        residual: Some(slots.stream),
        input: slots.attended,
        output: slots.stream,
    });
    Ok(())
}

fn feed_forward(
    config: &DecoderConfig,
    layer: usize,
    slots: &Slots,
    builder: &mut Builder<'_>,
    ops: &mut Vec<Op>,
) -> Result<(), EngineError> {
    let name = |part: &str| format!("blk.{layer}.{part}");
    ops.push(Op::RmsNorm {
        input: slots.stream,
        weight: builder.vector(&name("ffn_norm.weight"), config.width)?,
        group: config.width,
        epsilon: config.epsilon,
        output: slots.normed,
    });
    for (part, output) in [("ffn_gate", slots.gate), ("ffn_up", slots.up)] {
        ops.push(Op::MatMul {
            weight: builder.matrix(&name(&format!("{part}.weight")), config.feed_forward, config.width)?,
            bias: builder.vector_if_present(&name(&format!("{part}.bias")), config.feed_forward)?,
            scale: 1.0,
            residual: None,
            input: slots.normed,
            output,
        });
    }
    ops.push(Op::Gate { gate: slots.gate, up: slots.up, activation: Activation::Silu, output: slots.gate });
    ops.push(Op::MatMul {
        weight: builder.matrix(&name("ffn_down.weight"), config.width, config.feed_forward)?,
        bias: builder.vector_if_present(&name("ffn_down.bias"), config.width)?,
        scale: 1.0,
        residual: Some(slots.stream),
        input: slots.gate,
        output: slots.stream,
    });
    Ok(())
}

/// The vocabulary is as large as the embedding table.
fn vocabulary(gguf: &Gguf) -> Result<usize, EngineError> {
    let wrong = |problem: String| EngineError::Tensor { name: EMBEDDINGS.to_owned(), problem };
    let table = gguf.tensor(EMBEDDINGS).ok_or_else(|| wrong("it is missing".to_owned()))?;
    match table.rows() {
        rows @ 1..=0x00ff_ffff => Ok(rows as usize),
        rows => Err(wrong(format!("{rows} tokens are not between 1 and 2^24"))),
    }
}

/// The angle of one position for each pair: `base^(-2i / rotated)`, each divided by the file's factor
/// for it where the file brings factors (Llama 3.1 and later).
fn frequencies(
    config: &DecoderConfig,
    gguf: &Gguf,
    bytes: &dyn ByteSource,
    builder: &mut Builder<'_>,
) -> Result<Arc<[f32]>, EngineError> {
    let pairs = config.rotated / 2;
    let mut frequencies: Vec<f64> = (0..pairs)
        .map(|pair| {
            let exponent = -2.0 * pair as f64 / config.rotated as f64;
            config.rope_base.powf(exponent) / config.rope_divisor
        })
        .collect();
    if let Some(tensor) = gguf.tensor(ROPE_FACTORS) {
        let wrong = |problem: String| EngineError::Tensor { name: ROPE_FACTORS.to_owned(), problem };
        let elements = tensor.columns().checked_mul(tensor.rows());
        if tensor.data_type != DataType::F32 || elements != Some(pairs as u64) {
            return Err(wrong(format!("it is not {pairs} elements of F32")));
        }
        let mut stored = vec![0; pairs * 4];
        bytes.read_at(tensor.offset, &mut stored)?;
        for (frequency, stored) in frequencies.iter_mut().zip(stored.chunks_exact(4)) {
            let factor = f32::from_le_bytes([stored[0], stored[1], stored[2], stored[3]]);
            if !factor.is_finite() || factor <= 0.0 {
                return Err(wrong(format!("the factor {factor} is not positive")));
            }
            *frequency /= f64::from(factor);
        }
        builder.mark_read(ROPE_FACTORS);
    }
    Ok(frequencies.iter().map(|frequency| *frequency as f32).collect())
}
