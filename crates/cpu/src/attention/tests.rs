//! Attention against its definition, and against itself with other company.

use nearside_engine::backend::CacheFormat;

use super::*;
use crate::cache::Cache;

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

/// Attention in f64, by its definition.
fn plain(query: &[f32], keys: &[&[f32]], values: &[&[f32]], scale: f32) -> Vec<f64> {
    let product = |left: &[f32], right: &[f32]| -> f64 {
        left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
    };
    let scores: Vec<f64> = keys.iter().map(|key| product(query, key) * f64::from(scale)).collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let total: f64 = shares.iter().sum();
    let sum = |element: usize| -> f64 {
        shares.iter().zip(values).map(|(share, value)| share / total * f64::from(value[element])).sum()
    };
    (0..query.len()).map(sum).collect()
}

struct Case {
    shape: CacheShape,
    group: usize,
    past: usize,
    rows: usize,
    window: Option<usize>,
    threads: usize,
}

struct Filled {
    keys: Vec<f32>,
    values: Vec<f32>,
    queries: Vec<f32>,
    cache: Cache,
}

fn filled(case: &Case, format: CacheFormat) -> Filled {
    let Case { shape, group, past, rows, .. } = *case;
    let (width, length) = (shape.heads * shape.head_dim, past + rows);
    let keys: Vec<f32> = numbers(length * width, 1).iter().map(|value| value * 3.0).collect();
    let values = numbers(length * width, 2);
    let queries = numbers(rows * shape.heads * group * shape.head_dim, 3);
    let mut cache = Cache::new(&[shape], format);
    for (start, end) in [(0, past), (past, length)] {
        cache.reserve(start, end).expect("room for a few positions");
        for position in start..end {
            let row = position * width..(position + 1) * width;
            cache.layers[0].put(position, &keys[row.clone()], &values[row]);
        }
    }
    Filled { keys, values, queries, cache }
}

/// The largest difference from the plain version over a cache that is filled in two steps.
fn difference(case: &Case, format: CacheFormat) -> f64 {
    let Case { shape, group, past, rows, window, threads } = *case;
    let Filled { keys, values, queries, cache } = filled(case, format);
    let (width, heads) = (shape.heads * shape.head_dim, shape.heads * group);
    let scale = 1.0 / (shape.head_dim as f32).sqrt();
    let attention = Attention { layer: &cache.layers[0], queries: &queries, heads, position: past, window, scale };
    let mut output = vec![f32::NAN; rows * heads * shape.head_dim];
    attention.run(&Pool::new(threads), &mut Vec::new(), &mut output).expect("room for a few numbers");
    let mut largest: f64 = 0.0;
    for (index, output) in output.chunks_exact(shape.head_dim).enumerate() {
        let (row, head) = (index / heads, index % heads);
        let seen = (past + row + 1).saturating_sub(window.unwrap_or(usize::MAX))..past + row + 1;
        let place = |position: usize| position * width + head / group * shape.head_dim;
        let keys: Vec<&[f32]> = seen.clone().map(|position| &keys[place(position)..][..shape.head_dim]).collect();
        let values: Vec<&[f32]> = seen.map(|position| &values[place(position)..][..shape.head_dim]).collect();
        let query = &queries[index * shape.head_dim..][..shape.head_dim];
        for (ours, exact) in output.iter().zip(plain(query, &keys, &values, scale)) {
            let difference = (f64::from(*ours) - exact).abs();
            assert!(!difference.is_nan(), "row {row}, head {head}");
            largest = largest.max(difference);
        }
    }
    largest
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (heads, head_dim, group) in [(1, 8, 4), (3, 64, 3), (2, 80, 5), (1, 33, 1), (2, 128, 6), (4, 16, 20)] {
        for (past, rows) in [(0, 1), (5, 3), (63, 1), (64, 1), (60, 9), (200, 40), (700, 1)] {
            for window in [None, Some(1), Some(50), Some(64)] {
                let threads = if rows == 40 || past == 700 { 3 } else { 1 };
                cases.push(Case { shape: CacheShape { heads, head_dim }, group, past, rows, window, threads });
            }
        }
    }
    cases
}

fn within(format: CacheFormat, bound: f64) {
    for case in cases() {
        let difference = difference(&case, format);
        let Case { shape, group, past, rows, window, .. } = case;
        assert!(difference <= bound, "{shape:?} {group} {past} {rows} {window:?}: {difference}");
    }
}

#[test]
fn half_precision_keys_and_values_change_the_third_digit_at_most() {
    within(CacheFormat::F16, 2e-3);
}

#[test]
fn bytes_for_keys_and_values_change_the_second_digit_at_most() {
    within(CacheFormat::Q8_0, 2e-2);
}

#[test]
fn a_query_gets_the_same_bits_alone_and_in_company() {
    // From many parts to one for each key/value head, and from the first stretches to the long ones.
    let shapes = [(1, 16, 1), (2, 40, 6), (9, 32, 2)];
    let places = [(0, 5), (500, 16), (600, 8), (4000, 200)];
    for ((heads, head_dim, group), (past, rows)) in
        shapes.into_iter().flat_map(|shape| places.map(|place| (shape, place)))
    {
        for (window, format) in [(None, CacheFormat::F16), (Some(100), CacheFormat::F16), (None, CacheFormat::Q8_0)] {
            let case = Case { shape: CacheShape { heads, head_dim }, group, past, rows, window, threads: 1 };
            let Filled { queries, cache, .. } = filled(&case, format);
            let (heads, layer) = (heads * group, &cache.layers[0]);
            let run = |first: usize, count: usize, threads: usize| {
                let queries = &queries[first * heads * head_dim..][..count * heads * head_dim];
                let attention = Attention { layer, queries, heads, position: past + first, window, scale: 0.25 };
                let mut output = vec![f32::NAN; queries.len()];
                attention.run(&Pool::new(threads), &mut Vec::new(), &mut output).expect("room for a few numbers");
                output.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let together = run(0, rows, 3);
            let row_length = heads * head_dim;
            for row in [0, 1, rows / 2, rows - 1] {
                let expected = &together[row * row_length..][..row_length];
                assert_eq!(run(row, 1, 1), expected, "{heads} heads, row {row} of {rows} after {past}, {window:?}");
            }
            assert_eq!(run(1, 3, 2), together[row_length..4 * row_length], "{heads} heads, {past}, {window:?}");
        }
    }
}
