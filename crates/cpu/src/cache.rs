//! One conversation's keys and values, in pages that are added as it grows and shared with its forks.

use std::sync::Arc;

use half::f16;
use nearside_engine::backend::{BackendError, CacheFormat};
use nearside_engine::graph::CacheShape;

use crate::memory::zeroed;
use crate::simd::COLUMNS;

/// Positions in one page.
pub(crate) const PAGE: usize = 64;
/// Elements that share a scale.
pub(crate) const BLOCK: usize = 32;

/// The keys and values of all layers.
pub(crate) struct Cache {
    pub(crate) layers: Vec<LayerCache>,
    /// Positions filled in every layer.
    pub(crate) length: usize,
    format: CacheFormat,
}

/// The keys and values of one layer.
pub(crate) struct LayerCache {
    pub(crate) shape: CacheShape,
    pub(crate) pages: Vec<Arc<Page>>,
}

/// The keys and values of [`PAGE`] positions, head after head. Attention multiplies queries with many keys
/// and probabilities with many values at once, so the vectors run along the positions of keys and along the
/// elements of values:
///
/// - a head's keys are `head_dim` rows of [`PAGE`] positions;
/// - its values are [`PAGE`] rows of `head_dim` elements, zeros up to a multiple of [`BLOCK`] following.
pub(crate) enum Page {
    /// The bits of half-precision floats.
    Half { keys: Vec<u16>, values: Vec<u16> },
    /// Signed bytes, and a scale for each block of [`BLOCK`] elements of a head. The scales of all positions for a head's first block come first.
    Bytes { keys: Vec<i8>, key_scales: Vec<f16>, values: Vec<i8>, value_scales: Vec<f16> },
}

/// The length of one row of a head's values.
pub(crate) fn padded(head_dim: usize) -> usize {
    head_dim.next_multiple_of(COLUMNS)
}

impl Page {
    fn new(shape: CacheShape, format: CacheFormat) -> Result<Self, BackendError> {
        let CacheShape { heads, head_dim } = shape;
        let purpose = || format!("the keys and values of {PAGE} positions");
        let (keys, values) = (heads * head_dim * PAGE, heads * padded(head_dim) * PAGE);
        let scales = heads * head_dim.div_ceil(BLOCK) * PAGE;
        Ok(match format {
            CacheFormat::F16 => Self::Half { keys: zeroed(keys, 0, purpose)?, values: zeroed(values, 0, purpose)? },
            CacheFormat::Q8_0 => Self::Bytes {
                keys: zeroed(keys, 0, purpose)?,
                key_scales: zeroed(scales, f16::ZERO, purpose)?,
                values: zeroed(values, 0, purpose)?,
                value_scales: zeroed(scales, f16::ZERO, purpose)?,
            },
        })
    }

    fn copy(&self) -> Result<Self, BackendError> {
        fn copy<T: Copy>(items: &[T]) -> Result<Vec<T>, BackendError> {
            let Some(&first) = items.first() else { return Ok(Vec::new()) };
            let mut copy = zeroed(items.len(), first, || "a page of keys and values of its own".to_owned())?;
            copy.copy_from_slice(items);
            Ok(copy)
        }
        Ok(match self {
            Self::Half { keys, values } => Self::Half { keys: copy(keys)?, values: copy(values)? },
            Self::Bytes { keys, key_scales, values, value_scales } => Self::Bytes {
                keys: copy(keys)?,
                key_scales: copy(key_scales)?,
                values: copy(values)?,
                value_scales: copy(value_scales)?,
            },
        })
    }

    /// Puts one position's keys and values, those of all heads, at `place` within the page.
    fn put(&mut self, head_dim: usize, place: usize, key: &[f32], value: &[f32]) {
        let heads = key.chunks_exact(head_dim).zip(value.chunks_exact(head_dim)).enumerate();
        let width = padded(head_dim);
        match self {
            Self::Half { keys, values } => {
                for (head, (key, value)) in heads {
                    let keys = &mut keys[head * head_dim * PAGE..][..head_dim * PAGE];
                    for (row, key) in keys.chunks_exact_mut(PAGE).zip(key) {
                        row[place] = half(*key).to_bits();
                    }
                    let values = &mut values[(head * PAGE + place) * width..][..head_dim];
                    for (stored, value) in values.iter_mut().zip(value) {
                        *stored = half(*value).to_bits();
                    }
                }
            }
            Self::Bytes { keys, key_scales, values, value_scales } => {
                let blocks = head_dim.div_ceil(BLOCK);
                for (head, (key, value)) in heads {
                    for block in 0..blocks {
                        let elements = block * BLOCK..head_dim.min((block + 1) * BLOCK);
                        let scales = (head * blocks + block) * PAGE + place;
                        let (scale, steps) = quantized(&key[elements.clone()]);
                        key_scales[scales] = scale;
                        let keys = &mut keys[(head * head_dim + elements.start) * PAGE..];
                        for (row, step) in keys.chunks_exact_mut(PAGE).zip(&steps[..elements.len()]) {
                            row[place] = *step;
                        }
                        let (scale, steps) = quantized(&value[elements.clone()]);
                        value_scales[scales] = scale;
                        let values = &mut values[(head * PAGE + place) * width..][elements];
                        values.copy_from_slice(&steps[..values.len()]);
                    }
                }
            }
        }
    }
}

/// The nearest half-precision float; one that is too large becomes the largest.
fn half(value: f32) -> f16 {
    f16::from_f32(value.clamp(-65504.0, 65504.0))
}

/// A block's scale and signed bytes.
fn quantized(values: &[f32]) -> (f16, [i8; BLOCK]) {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = half(largest / 127.0);
    let inverse = match scale.to_f32() {
        0.0 => 0.0,
        scale => 1.0 / scale,
    };
    let mut steps = [0; BLOCK];
    for (step, value) in steps.iter_mut().zip(values) {
        *step = (value * inverse).round().clamp(-127.0, 127.0) as i8;
    }
    (scale, steps)
}

impl LayerCache {
    /// Puts keys and values at a position, whose page was made writable.
    pub(crate) fn put(&mut self, position: usize, key: &[f32], value: &[f32]) {
        if let Some(page) = self.pages.get_mut(position / PAGE).and_then(Arc::get_mut) {
            page.put(self.shape.head_dim, position % PAGE, key, value);
        }
    }
}

impl Cache {
    pub(crate) fn new(shapes: &[CacheShape], format: CacheFormat) -> Self {
        let layer = |shape: &CacheShape| LayerCache { shape: *shape, pages: Vec::new() };
        Self { layers: shapes.iter().map(layer).collect(), length: 0, format }
    }

    /// Makes pages for the positions from `start` to `end`, and makes them this cache's own.
    pub(crate) fn reserve(&mut self, start: usize, end: usize) -> Result<(), BackendError> {
        for layer in &mut self.layers {
            while layer.pages.len() * PAGE < end {
                layer.pages.push(Arc::new(Page::new(layer.shape, self.format)?));
            }
            for page in &mut layer.pages[start / PAGE..end.div_ceil(PAGE)] {
                if Arc::get_mut(page).is_none() {
                    *page = Arc::new(page.copy()?);
                }
            }
        }
        Ok(())
    }

    /// A cache that begins with the first `length` positions of this one. No page is copied before one of
    /// the two changes it.
    pub(crate) fn fork(&self, length: usize) -> Self {
        let layer = |layer: &LayerCache| LayerCache {
            shape: layer.shape,
            pages: layer.pages.iter().take(length.div_ceil(PAGE)).cloned().collect(),
        };
        Self { layers: self.layers.iter().map(layer).collect(), length, format: self.format }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [CacheShape; 2] = [CacheShape { heads: 2, head_dim: 40 }, CacheShape { heads: 1, head_dim: 8 }];

    fn pages(cache: &Cache) -> Vec<usize> {
        cache.layers.iter().map(|layer| layer.pages.len()).collect()
    }

    #[test]
    fn memory_follows_the_conversation() {
        let mut cache = Cache::new(&SHAPES, CacheFormat::Q8_0);
        assert_eq!(pages(&cache), [0, 0]);
        for (start, end, expected) in [(0, 1, 1), (1, 64, 1), (64, 65, 2), (65, 300, 5), (10, 12, 5)] {
            cache.reserve(start, end).expect("room for a few positions");
            assert_eq!(pages(&cache), [expected, expected], "{start}..{end}");
        }
    }

    #[test]
    fn bytes_take_about_half_of_what_half_floats_take() {
        let shape = CacheShape { heads: 3, head_dim: 64 };
        let size = |format| match Page::new(shape, format).expect("room for a page") {
            Page::Half { keys, values } => size_of_val(keys.as_slice()) + size_of_val(values.as_slice()),
            Page::Bytes { keys, key_scales, values, value_scales } => {
                keys.len() + values.len() + size_of_val(key_scales.as_slice()) + size_of_val(value_scales.as_slice())
            }
        };
        assert_eq!(size(CacheFormat::F16), 2 * 3 * 64 * PAGE * 2);
        // 34 bytes for each 32 elements.
        assert_eq!(size(CacheFormat::Q8_0), 2 * 3 * 64 * PAGE * 34 / 32);
    }

    #[test]
    fn forks_share_pages_until_one_of_them_changes_one() {
        let mut parent = Cache::new(&SHAPES, CacheFormat::F16);
        parent.reserve(0, 200).expect("room for a few positions");
        parent.length = 200;
        let mut fork = parent.fork(130);
        assert_eq!((pages(&fork), fork.length), (vec![3, 3], 130));
        let shared = |one: &Cache, other: &Cache| -> Vec<bool> {
            one.layers[0].pages.iter().zip(&other.layers[0].pages).map(|(one, other)| Arc::ptr_eq(one, other)).collect()
        };
        assert_eq!(shared(&parent, &fork), [true; 3]);
        fork.reserve(130, 131).expect("room for a page");
        assert_eq!(shared(&parent, &fork), [true, true, false]);
        parent.reserve(0, 1).expect("room for a page");
        assert_eq!(shared(&parent, &fork), [false, true, false]);
    }

    #[test]
    fn values_too_large_for_half_floats_become_the_largest() {
        assert!(half(1e9).to_f32().total_cmp(&65504.0).is_eq());
        assert!(half(f32::NEG_INFINITY).to_f32().total_cmp(&-65504.0).is_eq());
        let (scale, steps) = quantized(&[1e9, -1e9, 0.0]);
        assert!(scale.is_finite() && steps[..3] == [127, -127, 0]);
        let (scale, steps) = quantized(&[0.0; 5]);
        assert!(scale.to_f32() == 0.0 && steps == [0; BLOCK]);
    }
}
