//! One token's attention in slices of the positions, from its heads as the products leave them.

use nearside_engine::backend::CacheFormat;
use nearside_engine::graph::RopePairing;

use super::attention::{CACHED, cached};
use super::round::WORD;
use super::{Access, Grid, Program, reduce, rope};
use crate::adapter::Tuning;

/// Workgroups that keep a GPU busy.
const ENOUGH: u32 = 256;

/// What a kernel is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) head_dim: u32,
    /// Query heads that a workgroup takes.
    pub(crate) queries: u32,
    /// Slices of the positions, at most.
    pub(crate) splits: u32,
    pub(crate) rotates: bool,
    pub(crate) query_norm: bool,
    pub(crate) key_norm: bool,
    pub(crate) format: CacheFormat,
}

/// How many query heads of one head of the cache a workgroup takes: wide ones leave memory for fewer.
pub(crate) fn queries(head_dim: u32, share: u32) -> u32 {
    let most = if head_dim > 256 { 1 } else { 4 };
    (1..=most).rev().find(|count| share.is_multiple_of(*count)).unwrap_or(1)
}

/// Into how many slices the positions are split, so that there are enough workgroups and each has some.
pub(crate) fn splits(groups: u32, context: usize, most: u32) -> u32 {
    let by_context = u32::try_from(context.div_ceil(128)).unwrap_or(most);
    (ENOUGH / groups.max(1)).min(by_context).clamp(1, most)
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Params {
    /// Query heads by those that a workgroup takes.
    pub(crate) groups: u32,
    /// Query heads for each head of the cache.
    pub(crate) share: u32,
    pub(crate) context: u32,
    /// The positions seen; the largest number when all are.
    pub(crate) window: u32,
    /// Where queries, keys and values begin.
    pub(crate) columns: [u32; 3],
    pub(crate) pairs: u32,
    pub(crate) pairing: RopePairing,
    /// Where the pairs start in the step's table.
    pub(crate) table_offset: u32,
    pub(crate) scale: f32,
    pub(crate) query_epsilon: f32,
    pub(crate) key_epsilon: f32,
}

impl Params {
    pub(crate) fn words(&self) -> Vec<u32> {
        let (step, distance) = rope::places(self.pairing, self.pairs);
        let [query, key, value] = self.columns;
        vec![
            self.groups,
            self.share,
            self.context,
            self.window,
            query,
            key,
            value,
            self.pairs,
            step,
            distance,
            self.table_offset,
            self.scale.to_bits(),
            self.query_epsilon.to_bits(),
            self.key_epsilon.to_bits(),
        ]
    }
}

impl Form {
    pub(crate) fn grid(self, groups: u32) -> Grid {
        Grid::Fixed(groups * self.splits)
    }

    /// Words of what the slices of one head gather.
    pub(crate) fn partial_words(self) -> u64 {
        u64::from(self.splits) * (u64::from(self.head_dim) + 4)
    }

    /// Bindings: heads, keys, values, partials, then the table where it rotates, the weights of the norms
    /// where there are any, and with eight-bit codes the scales of the keys and of the values.
    pub(crate) fn program(self, tuning: &Tuning) -> Program {
        use Access::{Read, Write};
        let coded = self.format == CacheFormat::Q8_0;
        let norms = self.query_norm || self.key_norm;
        let mut definitions = cached(self.head_dim, self.queries, self.format, tuning);
        definitions.extend([
            ("SPLITS", self.splits),
            ("ROTATES", u32::from(self.rotates)),
            ("NORMS", u32::from(norms)),
            ("QUERY_NORM", u32::from(self.query_norm)),
            ("KEY_NORM", u32::from(self.key_norm)),
        ]);
        Program::new(
            "attend",
            &[include_str!("slices.wgsl"), CACHED, WORD, reduce::WHOLE, reduce::SLICES, include_str!("attend.wgsl")],
            &definitions,
            [(2, Read), (3, Write), (4, Write), (5, Write)]
                .into_iter()
                .chain(self.rotates.then_some((6, Read)))
                .chain(norms.then_some((7, Read)))
                .chain(coded.then_some([(8, Write), (9, Write)]).into_iter().flatten()),
        )
    }
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::CacheFormat;
    use nearside_engine::graph::RopePairing;

    use super::{Form, Params};
    use crate::kernels::store_cache::{self, Plane, neighbours};
    use crate::kernels::{attention, combine, rms_norm, rope};
    use crate::testing::{Gpu, Random, Run, close, each_gpu};

    struct Case {
        position: usize,
        heads: usize,
        cache_heads: usize,
        window: Option<usize>,
        pairs: usize,
        pairing: RopePairing,
        form: Form,
    }

    /// The plain functions are the norm's, the rotation's, the cache's and the attention's.
    fn check(gpu: &Gpu, case: &Case) {
        let Case { position, heads, cache_heads, window, pairs, pairing, form } = *case;
        let (head_dim, share) = (form.head_dim as usize, heads / cache_heads);
        let context = position + 5;
        let mut random = Random::new(8);
        let mut caches = [(); 2].map(|()| Plane::new(cache_heads, head_dim, context, form.format));
        let kept = |row: &[f32]| store_cache::kept(row, head_dim, form.format);
        let mut past: Vec<Vec<Vec<f32>>> = Vec::new();
        for cache in &mut caches {
            let rows: Vec<_> = (0..position).map(|_| kept(&random.floats(cache_heads * head_dim))).collect();
            cache.store(&rows, 0);
            past.push(rows);
        }
        // Queries, keys and values lie in any order with gaps.
        let widths = [heads * head_dim, cache_heads * head_dim, cache_heads * head_dim];
        let columns = [widths[2] + 3, 0, widths[2] + 3 + widths[0]];
        let row = random.floats(columns[2] + widths[2] + 3);
        let mut own: Vec<_> = (0..3).map(|part| row[columns[part]..][..widths[part]].to_vec()).collect();
        let weights = [random.floats(head_dim), random.floats(head_dim)];
        let epsilons = [1e-5, 1e-6];
        let turns: Vec<_> =
            rope::turns(&(0..pairs).map(|pair| 0.7f32.powi(pair as i32)).collect::<Vec<_>>(), 1.1, position).collect();
        for (part, norms) in [form.query_norm, form.key_norm].into_iter().enumerate() {
            if norms {
                own[part] = rms_norm::plain(&own[part], &weights[part], epsilons[part]);
            }
            if form.rotates {
                rope::plain(&mut own[part], head_dim, pairing, &turns);
            }
        }
        let wanted_caches: Vec<_> = (0..2)
            .map(|plane| {
                let mut cache = caches[plane].clone();
                cache.store(std::slice::from_ref(&own[plane + 1]), position);
                cache
            })
            .collect();
        for (rows, own) in past.iter_mut().zip(&own[1..]) {
            rows.push(kept(own));
        }
        let start = window.map_or(0, |window| (position + 1).saturating_sub(window));
        let expected: Vec<f32> = (0..heads)
            .flat_map(|head| {
                let part = |cache: &[Vec<f32>]| -> Vec<Vec<f32>> {
                    cache[start..].iter().map(|row| row[head / share * head_dim..][..head_dim].to_vec()).collect()
                };
                attention::plain(&own[0][head * head_dim..][..head_dim], &part(&past[0]), &part(&past[1]), 0.3)
            })
            .collect();
        let params = Params {
            groups: heads as u32 / form.queries,
            share: share as u32,
            context: context as u32,
            window: window.map_or(u32::MAX, |window| window as u32),
            columns: columns.map(|column| column as u32),
            pairs: pairs as u32,
            pairing,
            table_offset: 2,
            scale: 0.3,
            query_epsilon: epsilons[0],
            key_epsilon: epsilons[1],
        };
        let mut run = Run::new(gpu, &form.program(&gpu.tuning), &params.words(), 1);
        run.step.position = position as u32;
        run.floats(&row);
        let mut outputs = vec![run.output_words(&caches[0].codes), run.output_words(&caches[1].codes)];
        let partials = run.output(&vec![f32::NAN; heads * form.partial_words() as usize]);
        if form.rotates {
            run.floats(&[&[9.0; 4][..], turns.as_flattened()].concat());
        }
        if form.query_norm || form.key_norm {
            let used = [(form.query_norm, &weights[0]), (form.key_norm, &weights[1])];
            run.floats(&used.iter().filter(|used| used.0).flat_map(|used| used.1.clone()).collect::<Vec<_>>());
        }
        if form.format == CacheFormat::Q8_0 {
            outputs.extend([run.output_words(&caches[0].scales), run.output_words(&caches[1].scales)]);
        }
        let found = run.go(form.grid(params.groups));
        let what = format!("{position} {heads} {cache_heads} {window:?} {pairing:?} {form:?}");
        for (plane, wanted) in wanted_caches.iter().enumerate() {
            let bits = if form.format == CacheFormat::F16 { 16 } else { 8 };
            neighbours(&found.words(outputs[plane]), &wanted.codes, bits);
            if form.format == CacheFormat::Q8_0 {
                neighbours(&found.words(outputs[plane + 2]), &wanted.scales, 16);
            }
        }
        let together = combine::Params { quads: (heads * head_dim / 4) as u32, window: params.window };
        let mut run = Run::new(gpu, &combine::program(form.head_dim, form.splits), &together.words(), 1);
        run.step.position = position as u32;
        run.floats(&found.floats(partials));
        let output = run.output(&vec![0.0; heads * head_dim]);
        let found = run.go(together.grid()).floats(output);
        // A code of the token's own key or value may go either way.
        let tolerance = if form.format == CacheFormat::Q8_0 { 5e-3 } else { 1e-5 };
        close(&found, &expected, tolerance, &what);
    }

    fn form(head_dim: u32, queries: u32, splits: u32) -> Form {
        let (rotates, query_norm, key_norm) = (true, false, false);
        Form { head_dim, queries, splits, rotates, query_norm, key_norm, format: CacheFormat::F16 }
    }

    #[test]
    fn slices_norms_rotations_windows_and_shared_heads() {
        let (adjacent, halves) = (RopePairing::Adjacent, RopePairing::Halves);
        let plain = |head_dim, queries, splits| Form { rotates: false, ..form(head_dim, queries, splits) };
        let normed = |query_norm, key_norm, form| Form { query_norm, key_norm, ..form };
        let cases = [
            (0, 9, 3, None, 32, adjacent, form(64, 3, 4)),
            (1000, 4, 2, None, 10, halves, form(24, 2, 32)),
            (31, 2, 2, None, 4, adjacent, normed(true, true, form(8, 1, 2))),
            (300, 4, 1, Some(70), 128, halves, normed(true, false, form(256, 4, 3))),
            (64, 3, 3, None, 1, halves, normed(false, true, plain(96, 1, 1))),
            (700, 2, 1, Some(512), 64, halves, plain(128, 2, 8)),
            (2, 1, 1, Some(1), 256, adjacent, form(512, 1, 2)),
            (5000, 1, 1, None, 4, halves, form(8, 1, 4)),
        ];
        for (position, heads, cache_heads, window, pairs, pairing, form) in cases {
            for format in [CacheFormat::F16, CacheFormat::Q8_0] {
                if format == CacheFormat::Q8_0 && !form.head_dim.is_multiple_of(32) {
                    continue;
                }
                let form = Form { format, ..form };
                let case = Case { position, heads, cache_heads, window, pairs, pairing, form };
                each_gpu(|gpu| check(gpu, &case));
            }
        }
    }
}
