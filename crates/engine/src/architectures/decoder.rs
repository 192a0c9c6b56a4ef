//! The dense decoder family, from token to logits.

use nearside_gguf::{ByteSource, Gguf};

use super::builder::Builder;
use super::rotation::Rotation;
use super::{Style, Trait};
use crate::EngineError;
use crate::config::DecoderConfig;
use crate::graph::{CacheShape, Graph, Op, Slot, Weight};

const EMBEDDINGS: &str = "token_embd.weight";

pub(super) fn build(
    style: Style,
    config: &DecoderConfig,
    gguf: &Gguf,
    bytes: &dyn ByteSource,
    context: usize,
) -> Result<Graph, EngineError> {
    let vocabulary = vocabulary(gguf)?;
    let mut builder = Builder::new(gguf);
    let rotation = Rotation::read(&config.rope, gguf, bytes, context, &mut builder)?;
    let table = builder.matrix(EMBEDDINGS, vocabulary, config.width)?;
    let slots = Slots::new(config, vocabulary, &mut builder);
    let mut decoder = Decoder { style, config, builder, slots, rotation, ops: Vec::new(), layer: 0 };
    decoder.ops.push(Op::Embed { table, scale: config.scales.embedding, output: decoder.slots.stream });
    for layer in 0..config.layers.len() {
        decoder.layer = layer;
        decoder.attention()?;
        decoder.feed_forward()?;
    }
    decoder.logits(table, vocabulary)?;
    decoder.builder.check_all_used()?;
    let cache = CacheShape { heads: config.kv_heads, head_dim: config.head_dim };
    Ok(Graph {
        slots: decoder.builder.slots,
        weights: decoder.builder.weights,
        caches: vec![cache; config.layers.len()],
        ops: decoder.ops,
        hidden: decoder.slots.hidden,
        logits: decoder.slots.logits,
        vocabulary,
    })
}

/// A decoder while it is written out, layer by layer.
pub(super) struct Decoder<'a> {
    pub(super) style: Style,
    pub(super) config: &'a DecoderConfig,
    pub(super) builder: Builder<'a>,
    pub(super) slots: Slots,
    pub(super) rotation: Rotation,
    pub(super) ops: Vec<Op>,
    pub(super) layer: usize,
}

pub(super) struct Slots {
    pub(super) stream: Slot,
    pub(super) normed: Slot,
    pub(super) query: Slot,
    pub(super) key: Slot,
    pub(super) value: Slot,
    pub(super) attended: Slot,
    pub(super) gate: Slot,
    pub(super) up: Slot,
    /// Queries, keys and values of one matrix; made when a layer has one.
    pub(super) fused_heads: Option<Slot>,
    /// Gate and up of one matrix; made when a layer has one.
    pub(super) fused_gate: Option<Slot>,
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
            fused_heads: None,
            fused_gate: None,
            last: builder.slot(config.width),
            hidden: builder.slot(config.width),
            logits: builder.slot(vocabulary),
        }
    }
}

impl Decoder<'_> {
    /// The full name of one of this layer's tensors.
    pub(super) fn name(&self, part: &str) -> String {
        format!("blk.{}.{part}", self.layer)
    }

    /// A norm over the whole width, or over each `group` of it.
    pub(super) fn norm(&mut self, name: &str, group: usize, input: Slot, output: Slot) -> Result<(), EngineError> {
        let weight = self.builder.vector(name, group)?;
        self.ops.push(Op::RmsNorm { input, weight, group, epsilon: self.config.epsilon, output });
        Ok(())
    }

    /// A product with one of this layer's matrices, with its bias where the file has one.
    pub(super) fn product(
        &mut self,
        part: &str,
        [rows, columns]: [usize; 2],
        input: Slot,
        output: Slot,
    ) -> Result<(), EngineError> {
        let weight = self.builder.matrix(&self.name(&format!("{part}.weight")), rows, columns)?;
        let bias = self.builder.vector_if_present(&self.name(&format!("{part}.bias")), rows)?;
        self.ops.push(Op::MatMul { weight, bias, scale: 1.0, residual: None, input, output });
        Ok(())
    }

    /// A product that joins the residual stream, through `closing_norm` where the architecture has one.
    pub(super) fn join(
        &mut self,
        part: &str,
        columns: usize,
        input: Slot,
        closing_norm: &str,
    ) -> Result<(), EngineError> {
        let (width, scale) = (self.config.width, self.config.scales.residual);
        let Slots { stream, normed, .. } = self.slots;
        if self.style.has(Trait::ClosingNorms) {
            self.product(part, [width, columns], input, normed)?;
            self.norm(&self.name(closing_norm), width, normed, normed)?;
            self.ops.push(Op::Add { left: stream, right: normed, output: stream });
            return Ok(());
        }
        let weight = self.builder.matrix(&self.name(&format!("{part}.weight")), width, columns)?;
        // The scale would have to hold for the bias too, and a product's does not. With a scale, a bias
        // stays a tensor without a place.
        let bias = if scale.to_bits() == 1f32.to_bits() {
            self.builder.vector_if_present(&self.name(&format!("{part}.bias")), width)?
        } else {
            None
        };
        self.ops.push(Op::MatMul { weight, bias, scale, residual: Some(stream), input, output: stream });
        Ok(())
    }

    fn logits(&mut self, table: Weight, vocabulary: usize) -> Result<(), EngineError> {
        let Slots { stream, hidden, last, logits, .. } = self.slots;
        self.norm("output_norm.weight", self.config.width, stream, hidden)?;
        self.ops.push(Op::LastRows { input: hidden, output: last });
        // Small models share one matrix between the first and the last operation.
        let weight = self.builder.matrix_if_present("output.weight", vocabulary, self.config.width)?.unwrap_or(table);
        let bias = self.builder.vector_if_present("output.bias", vocabulary)?;
        let scale = self.config.scales.logits;
        self.ops.push(Op::MatMul { weight, bias, scale, residual: None, input: last, output: logits });
        Ok(())
    }
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
