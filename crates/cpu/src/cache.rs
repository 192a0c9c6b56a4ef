//! One conversation's keys and values, in f32, grown as it grows.

use nearside_engine::backend::BackendError;
use nearside_engine::graph::CacheShape;

use crate::memory::grow;

/// Memory is added for so many positions at least.
const LEAST_GROWTH: usize = 64;

/// The keys and values of all layers.
pub(crate) struct Cache {
    pub(crate) layers: Vec<LayerCache>,
    /// Positions filled in every layer.
    pub(crate) length: usize,
}

/// The keys and values of one layer, a row for each position.
pub(crate) struct LayerCache {
    pub(crate) keys: Vec<f32>,
    pub(crate) values: Vec<f32>,
    pub(crate) width: usize,
}

impl Cache {
    pub(crate) fn new(shapes: &[CacheShape]) -> Self {
        let layer = |shape: &CacheShape| LayerCache {
            keys: Vec::new(),
            values: Vec::new(),
            width: shape.heads * shape.head_dim,
        };
        Self { layers: shapes.iter().map(layer).collect(), length: 0 }
    }

    /// Makes room for `positions` in every layer, doubling up to `most` so that a long answer does not
    /// copy its past at every token.
    pub(crate) fn reserve(&mut self, positions: usize, most: usize) -> Result<(), BackendError> {
        for layer in &mut self.layers {
            if layer.keys.len() >= positions * layer.width {
                continue;
            }
            let held = layer.keys.len() / layer.width.max(1);
            let wanted = positions.max(held * 2).max(LEAST_GROWTH).min(most);
            for items in [&mut layer.keys, &mut layer.values] {
                grow(items, wanted * layer.width, 0.0, || format!("the keys and values of {wanted} positions"))?;
            }
        }
        Ok(())
    }
}
