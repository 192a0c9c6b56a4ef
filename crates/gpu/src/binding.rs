//! What a kernel's binding stands for, and the buffers behind it.

use wgpu::{BindGroup, BindGroupLayout, Buffer, BufferBinding, BufferSize};

use crate::adapter::Gpu;
use crate::allocation::ALIGNMENT;
use crate::cache::{CacheBuffers, Plane};
use crate::header::{Header, RULE_WORDS};
use crate::low_rank::Adapters;
use crate::weights::{Matrix, Piece, Weights};

/// One matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MatrixId {
    /// The graph's, by the weight's number.
    Weight(usize),
    /// What narrows in a part of an adapter.
    Down { adapter: usize, part: usize },
    /// What widens again.
    Up { adapter: usize, part: usize },
}

/// One thing that kernels read or write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// An activation slot.
    Slot(usize),
    /// Inputs narrowed by an adapter.
    Narrow,
    /// One token's queries, keys and values.
    Heads,
    /// What the slices of its attention gather.
    Partials,
    /// The input of products in tiles, packed.
    Packed,
    /// The quants of one piece of a matrix.
    Quants { matrix: MatrixId, piece: usize },
    /// Its scales and the like.
    Extras { matrix: MatrixId, piece: usize },
    /// A weight as plain floats.
    Vector(usize),
    /// Several such weights side by side.
    Joined(usize),
    /// The step's tokens.
    Tokens,
    /// The step's cosines and sines.
    Turns,
    /// How each row's token is chosen.
    Rules,
    /// What changes in held logits.
    Changes,
    /// Each group's best logit.
    Groups,
    /// The groups that matter.
    Selected,
    /// The chosen tokens and their rivals.
    Result,
    /// A layer's keys, in whichever cache the step is for.
    Keys(usize),
    /// A layer's values.
    Values(usize),
    /// The scales of a layer's keys.
    KeyScales(usize),
    /// The scales of a layer's values.
    ValueScales(usize),
}

impl Source {
    /// Whether each cache needs a bind group of its own.
    pub(crate) fn per_cache(self) -> bool {
        matches!(self, Self::Keys(_) | Self::Values(_) | Self::KeyScales(_) | Self::ValueScales(_))
    }
}

/// Where the parts of the step's buffer lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepLayout {
    /// Bytes of the rules' part.
    pub(crate) rule_bytes: u64,
    /// Bytes of the tokens' part.
    pub(crate) token_bytes: u64,
    /// Bytes of one row of the turns.
    pub(crate) turn_bytes: u64,
    /// The most rows of a step.
    pub(crate) batch: usize,
}

impl StepLayout {
    pub(crate) const RULES: u64 = ALIGNMENT;

    /// The layout for some rules and some rows, each with so many turns.
    pub(crate) fn new(choices: usize, batch: usize, turns: usize) -> Self {
        let aligned = |words: usize| (words as u64 * 4).next_multiple_of(ALIGNMENT);
        Self {
            rule_bytes: aligned(choices * RULE_WORDS),
            token_bytes: aligned(batch),
            turn_bytes: turns as u64 * 8,
            batch,
        }
    }

    pub(crate) fn tokens(self) -> u64 {
        Self::RULES + self.rule_bytes
    }

    pub(crate) fn turns(self) -> u64 {
        self.tokens() + self.token_bytes
    }

    pub(crate) fn size(self) -> u64 {
        self.turns() + (self.turn_bytes * self.batch as u64).max(8)
    }
}

/// Every buffer of an executor but the caches' and the operations' parameters.
pub(crate) struct Resources {
    pub(crate) slots: Vec<Buffer>,
    pub(crate) heads: Buffer,
    pub(crate) partials: Buffer,
    pub(crate) packed: Buffer,
    pub(crate) weights: Weights,
    pub(crate) adapters: Adapters,
    pub(crate) step: Buffer,
    pub(crate) layout: StepLayout,
    pub(crate) changes: Buffer,
    pub(crate) groups: Buffer,
    pub(crate) selected: Buffer,
    pub(crate) result: Buffer,
    /// Bound where a format has no extras.
    pub(crate) nothing: Buffer,
}

/// A bind group to be: its layout, its parameters' offset and what it binds.
pub(crate) struct Recipe {
    pub(crate) layout: BindGroupLayout,
    pub(crate) params: u64,
    pub(crate) bindings: Vec<(u32, Source)>,
}

fn part(buffer: &Buffer, offset: u64, size: u64) -> BufferBinding<'_> {
    BufferBinding { buffer, offset, size: BufferSize::new(size) }
}

impl Resources {
    pub(crate) fn matrix(&self, matrix: MatrixId) -> Option<&Matrix> {
        match matrix {
            MatrixId::Weight(weight) => self.weights.matrices[weight].as_ref(),
            MatrixId::Down { adapter, part } => self.adapters.part(adapter, part).map(|part| &part.down),
            MatrixId::Up { adapter, part } => self.adapters.part(adapter, part).map(|part| &part.up),
        }
    }

    fn piece(&self, matrix: MatrixId, piece: usize) -> Option<&Piece> {
        self.matrix(matrix)?.pieces.get(piece)
    }

    fn resolve<'a>(&'a self, source: Source, cache: Option<&'a CacheBuffers>) -> BufferBinding<'a> {
        let whole = |buffer: Option<&'a Buffer>| buffer.unwrap_or(&self.nothing).as_entire_buffer_binding();
        let scales = |plane: &'a Plane| plane.scales.as_ref();
        match source {
            Source::Slot(slot) => whole(self.slots.get(slot)),
            Source::Narrow => whole(self.adapters.narrow.as_ref()),
            Source::Heads => whole(Some(&self.heads)),
            Source::Partials => whole(Some(&self.partials)),
            Source::Packed => whole(Some(&self.packed)),
            Source::Quants { matrix, piece } => match self.piece(matrix, piece) {
                Some(piece) => part(&piece.buffer, 0, piece.quant_bytes),
                None => whole(None),
            },
            Source::Extras { matrix, piece } => match self.piece(matrix, piece) {
                Some(piece) if piece.extra_bytes > 0 => part(&piece.buffer, piece.extras_offset, piece.extra_bytes),
                _ => whole(None),
            },
            Source::Vector(weight) => whole(self.weights.vectors[weight].as_ref()),
            Source::Joined(index) => whole(self.weights.joined.get(index).map(|joined| &joined.buffer)),
            Source::Tokens => part(&self.step, self.layout.tokens(), self.layout.token_bytes),
            Source::Turns => part(&self.step, self.layout.turns(), self.step.size() - self.layout.turns()),
            Source::Rules => part(&self.step, StepLayout::RULES, self.layout.rule_bytes),
            Source::Changes => whole(Some(&self.changes)),
            Source::Groups => whole(Some(&self.groups)),
            Source::Selected => whole(Some(&self.selected)),
            Source::Result => whole(Some(&self.result)),
            Source::Keys(layer) => whole(cache.map(|cache| &cache.keys[layer].codes)),
            Source::Values(layer) => whole(cache.map(|cache| &cache.values[layer].codes)),
            Source::KeyScales(layer) => whole(cache.and_then(|cache| scales(&cache.keys[layer]))),
            Source::ValueScales(layer) => whole(cache.and_then(|cache| scales(&cache.values[layer]))),
        }
    }

    /// Makes a bind group.
    pub(crate) fn bind(&self, gpu: &Gpu, recipe: &Recipe, params: &Buffer, cache: Option<&CacheBuffers>) -> BindGroup {
        let uniforms = [part(&self.step, 0, Header::BYTES), part(params, recipe.params, Header::BYTES)];
        let uniforms = uniforms.into_iter().enumerate().map(|(binding, buffer)| (binding as u32, buffer));
        let storage = recipe.bindings.iter().map(|(binding, source)| (*binding, self.resolve(*source, cache)));
        let entries: Vec<_> = uniforms
            .chain(storage)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer) })
            .collect();
        gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &recipe.layout,
            entries: &entries,
        })
    }
}
