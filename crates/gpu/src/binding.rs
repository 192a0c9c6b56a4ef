//! What a kernel's binding stands for, and the buffers behind it.

use wgpu::{BindGroup, BindGroupLayout, Buffer, BufferBinding, BufferSize};

use crate::adapter::Gpu;
use crate::allocation::ALIGNMENT;
use crate::cache::CacheBuffers;
use crate::header::Header;
use crate::weights::Weights;

/// One thing that kernels read or write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// An activation slot.
    Slot(usize),
    /// The quants of one piece of a matrix.
    Quants { weight: usize, piece: usize },
    /// Its scales and the like.
    Extras { weight: usize, piece: usize },
    /// A weight as plain floats.
    Vector(usize),
    /// The step's tokens.
    Tokens,
    /// The step's cosines and sines.
    Turns,
    /// Each group's best logit.
    Groups,
    /// The groups that matter.
    Selected,
    /// The sampled token and its rivals.
    Result,
    /// A layer's keys, in whichever cache the step is for.
    Keys(usize),
    /// A layer's values.
    Values(usize),
}

impl Source {
    /// Whether each cache needs a bind group of its own.
    pub(crate) fn per_cache(self) -> bool {
        matches!(self, Self::Keys(_) | Self::Values(_))
    }
}

/// Where the parts of the step's buffer lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepLayout {
    /// Bytes of the tokens' part.
    pub(crate) token_bytes: u64,
    /// Bytes of one row of the turns.
    pub(crate) turn_bytes: u64,
    /// The most rows of a step.
    pub(crate) batch: usize,
}

impl StepLayout {
    pub(crate) const TOKENS: u64 = ALIGNMENT;

    /// The layout for some rows, each with so many turns.
    pub(crate) fn new(batch: usize, turns: usize) -> Self {
        Self { token_bytes: (batch as u64 * 4).next_multiple_of(ALIGNMENT), turn_bytes: turns as u64 * 8, batch }
    }

    pub(crate) fn turns(self) -> u64 {
        Self::TOKENS + self.token_bytes
    }

    pub(crate) fn size(self) -> u64 {
        self.turns() + (self.turn_bytes * self.batch as u64).max(8)
    }
}

/// Every buffer of an executor but the caches'.
pub(crate) struct Resources {
    pub(crate) slots: Vec<Buffer>,
    pub(crate) weights: Weights,
    pub(crate) step: Buffer,
    pub(crate) layout: StepLayout,
    /// Every operation's parameters, each at a multiple of [`ALIGNMENT`].
    pub(crate) params: Buffer,
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
    fn resolve<'a>(&'a self, source: Source, cache: Option<&'a CacheBuffers>) -> BufferBinding<'a> {
        let piece = |weight: usize, piece: usize| {
            self.weights.matrices[weight].as_ref().and_then(|matrix| matrix.pieces.get(piece))
        };
        let nothing = || self.nothing.as_entire_buffer_binding();
        match source {
            Source::Slot(slot) => self.slots[slot].as_entire_buffer_binding(),
            Source::Quants { weight, piece: index } => {
                piece(weight, index).map_or_else(nothing, |piece| part(&piece.buffer, 0, piece.quant_bytes))
            }
            Source::Extras { weight, piece: index } => match piece(weight, index) {
                Some(piece) if piece.extra_bytes > 0 => part(&piece.buffer, piece.extras_offset, piece.extra_bytes),
                _ => nothing(),
            },
            Source::Vector(weight) => {
                self.weights.vectors[weight].as_ref().map_or_else(nothing, Buffer::as_entire_buffer_binding)
            }
            Source::Tokens => part(&self.step, StepLayout::TOKENS, self.layout.token_bytes),
            Source::Turns => part(&self.step, self.layout.turns(), self.step.size() - self.layout.turns()),
            Source::Groups => self.groups.as_entire_buffer_binding(),
            Source::Selected => self.selected.as_entire_buffer_binding(),
            Source::Result => self.result.as_entire_buffer_binding(),
            Source::Keys(layer) => cache.map_or_else(nothing, |cache| cache.keys[layer].as_entire_buffer_binding()),
            Source::Values(layer) => cache.map_or_else(nothing, |cache| cache.values[layer].as_entire_buffer_binding()),
        }
    }

    /// Makes a bind group.
    pub(crate) fn bind(&self, gpu: &Gpu, recipe: &Recipe, cache: Option<&CacheBuffers>) -> BindGroup {
        let uniforms = [part(&self.step, 0, Header::BYTES), part(&self.params, recipe.params, Header::BYTES)];
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
