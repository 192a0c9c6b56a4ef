//! What is measured of an adapter when it is opened: which tile its products are fastest in, how fast they are,
//! whether narrow matrices want a smaller tile, and whether products of few tokens are faster in packed integers.

use nearside_engine::backend::{BackendError, ExecutorOptions};
use nearside_engine::graph::{Graph, Op};
use nearside_gguf::DataType;
use wgpu::{BindGroup, Buffer, BufferUsages, CommandEncoderDescriptor};

use crate::adapter::{Gpu, Tuning};
use crate::allocation::{Allocations, STORAGE};
use crate::clock::Clock;
use crate::header::Header;
use crate::kernels::matmul::{Params, Residual, Shape, program};
use crate::kernels::tiles::{Tile, Tiles};
use crate::pipelines::Compiled;
use crate::quants::{LANES, Packing, UNIT, packing};
use crate::readback;
use crate::stopwatch::Stopwatch;

/// What no dispatch should take longer than: the screen of a page waits for it.
const LONGEST_DISPATCH_MILLISECONDS: u64 = 100;

/// What is multiplied in the measurement: the smaller one on software adapters, which are slow.
const COLUMNS: usize = 1024;
const ROWS: usize = 2048;
const SOFTWARE_ROWS: usize = 64;

/// Rows of a narrow matrix: four heads' keys or values.
const NARROW_ROWS: usize = 256;

/// The most tokens that it is multiplied with.
const MOST_TOKENS: usize = 1024;

/// Seconds that a measurement should take, since the clocks of browsers are coarse, and the most products in it.
const ENOUGH: f64 = 2e-3;
const MOST_REPEATS: u32 = 1024;

/// Chooses the tiles, or takes the only one that there may be, and notes the rate. An adapter that fails here fails
/// later, and says so then.
pub(crate) async fn tune(gpu: &mut Gpu, only: Option<Tile>) -> Result<(), BackendError> {
    if let Some(tile) = only {
        if Tile::all(&gpu.facts).all(|other| other != tile) {
            let (what, remedy) = (format!("the tile {tile}"), "choose one without halves or packed integers");
            return Err(BackendError::Unsupported { what, backend: "GPU", remedy });
        }
        gpu.tuning.tiles = Some(Tiles::only(tile));
        gpu.tuning.packed = tile.packed();
        if gpu.facts.software {
            return Ok(());
        }
    }
    let Some(packing) = packing(DataType::Q4K) else { return Ok(()) };
    let mut allocations = Allocations::new(gpu);
    let bench = Bench::new(gpu, packing, &mut allocations).await?;
    if only.is_none() && gpu.facts.packed_dots {
        let floats = bench.few_seconds(gpu, packing, false).await?;
        gpu.tuning.packed = bench.few_seconds(gpu, packing, true).await? < floats;
    }
    let Some(first) = gpu.tuning.tiles else {
        let shape = Shape::many(packing, bench.rows, &gpu.tuning);
        let seconds = bench.seconds(gpu, packing, shape, 16, bench.rows).await?;
        gpu.tuning.rate = rate(bench.operations(16), seconds);
        return Ok(());
    };
    // A few tokens first: on a slow adapter more would take too long.
    let few = 64;
    let seconds = bench.seconds(gpu, packing, Shape::Tiled(first.main()), few, bench.rows).await?;
    // As many as take some milliseconds, in whole tiles of every shape.
    let tokens = ((few as f64 * 4e-3 / seconds.max(1e-6)) as usize).clamp(128, MOST_TOKENS).next_multiple_of(128);
    // The best in floats, and the best in packed integers.
    let mut best: [Option<(f64, Tile)>; 2] = [None; 2];
    for tile in Tile::all(&gpu.facts).filter(|tile| only.map_or(*tile != tile.narrow(), |only| *tile == only)) {
        let seconds = bench.seconds(gpu, packing, Shape::Tiled(tile), tokens, bench.rows).await?;
        let best = &mut best[usize::from(tile.packed())];
        if best.is_none_or(|best| seconds < best.0) {
            *best = Some((seconds, tile));
        }
    }
    let [floats, packed] = best;
    if let Some((_, tile)) = floats {
        gpu.tuning.tiles = Some(Tiles::only(tile));
    }
    let faster = packed.filter(|packed| floats.is_none_or(|floats| packed.0 < floats.0));
    if let (Some((_, tile)), Some(tiles)) = (faster, gpu.tuning.tiles) {
        gpu.tuning.tiles = Some(Tiles { packed: Some(tile), ..tiles });
    }
    let Some((seconds, main)) = faster.or(floats) else { return Ok(()) };
    gpu.tuning.rate = rate(bench.operations(tokens), seconds);
    if let Some(tiles) = gpu.tuning.tiles.filter(|_| only.is_none()) {
        let rows = NARROW_ROWS.min(bench.rows);
        let wide = bench.seconds(gpu, packing, Shape::Tiled(main), tokens, rows).await?;
        let narrow = bench.seconds(gpu, packing, Shape::Tiled(main.narrow()), tokens, rows).await?;
        gpu.tuning.tiles = Some(Tiles { narrow: narrow < wide, ..tiles });
    }
    Ok(())
}

fn rate(operations: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (operations as f64 / seconds) as u64 } else { 0 }
}

/// How many tokens suit an adapter of that rate.
pub(crate) fn batch(rate: u64) -> usize {
    match rate / 1_000_000_000 {
        4_000.. => 1024,
        1_000.. => 512,
        _ => 256,
    }
}

/// The most tokens of a step whose longest dispatch still ends in time, as far as the rate is known.
pub(crate) fn most_tokens(graph: &Graph, options: ExecutorOptions, tuning: &Tuning) -> usize {
    if tuning.rate == 0 {
        return usize::MAX;
    }
    let operations = |op: &Op| match op {
        Op::MatMul { weight, .. } => {
            let spec = &graph.weights[weight.0];
            2 * spec.rows as u64 * spec.columns as u64
        }
        // Reading the past is slower than multiplying with weights that stay in place.
        Op::Attention { layer, heads, window, .. } => {
            let past = window.unwrap_or(options.context).min(options.context);
            4 * 4 * (heads * graph.caches[*layer].head_dim * past) as u64
        }
        _ => 0,
    };
    // The output head is multiplied with the last rows only.
    let body = graph.ops.iter().take_while(|op| !matches!(op, Op::LastRows { .. }));
    let most = body.map(operations).max().unwrap_or(0).max(1);
    let allowed = tuning.rate / 1000 * LONGEST_DISPATCH_MILLISECONDS / most;
    // Whole tiles waste nothing, and below eight there is nothing to gain.
    let tokens = usize::try_from(allowed).unwrap_or(usize::MAX).max(8);
    let whole = tuning.tiles.map_or(8, |tiles| tiles.main().tokens() as usize);
    if tokens > whole { tokens / whole * whole } else { tokens / 8 * 8 }
}

/// A matrix and inputs of zeros, which take as long as any others.
struct Bench {
    quants: Buffer,
    extras: Buffer,
    input: Buffer,
    output: Buffer,
    step: Buffer,
    params: Buffer,
    rows: usize,
}

impl Bench {
    async fn new(gpu: &Gpu, packing: &Packing, allocations: &mut Allocations) -> Result<Self, BackendError> {
        let (rows, most) = if gpu.facts.software { (SOFTWARE_ROWS, 16) } else { (ROWS, MOST_TOKENS) };
        let (quants, extras) = packing.group_bytes(COLUMNS);
        let groups = rows / LANES;
        let uniform = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let mut buffer =
            async |bytes: usize, usage| allocations.buffer(gpu, bytes as u64, usage, "measuring the adapter").await;
        Ok(Self {
            quants: buffer(groups * quants, STORAGE).await?,
            extras: buffer(groups * extras, STORAGE).await?,
            input: buffer(most * COLUMNS * 4, STORAGE).await?,
            output: buffer(most * rows * 4, STORAGE).await?,
            step: buffer(Header::BYTES as usize, uniform).await?,
            params: buffer(Header::BYTES as usize, uniform).await?,
            rows,
        })
    }

    fn operations(&self, tokens: usize) -> u64 {
        2 * (self.rows * COLUMNS * tokens) as u64
    }

    /// What a product with one token takes and one with as many as an invocation has, in packed integers or not.
    async fn few_seconds(&self, gpu: &Gpu, packing: &Packing, packed: bool) -> Result<f64, BackendError> {
        let tuning = Tuning { packed, ..gpu.tuning };
        let units = (COLUMNS / UNIT) as u32;
        let one = self.seconds(gpu, packing, Shape::single(units, &tuning), 1, self.rows).await?;
        let several = Shape::few(units, &tuning).unwrap_or_else(|| Shape::many(packing, self.rows, &tuning));
        Ok(one + self.seconds(gpu, packing, several, tuning.tokens as usize, self.rows).await?)
    }

    /// What a product of so many rows with so many tokens takes: the best of two measurements, each of as many products as it takes
    /// to mean something, after others that warm up.
    async fn seconds(
        &self,
        gpu: &Gpu,
        packing: &Packing,
        shape: Shape,
        tokens: usize,
        rows: usize,
    ) -> Result<f64, BackendError> {
        let params = Params {
            row_limit: tokens as u32,
            units: (COLUMNS / UNIT) as u32,
            groups: (rows / LANES) as u32,
            rows: rows as u32,
            first_row: 0,
            input_stride: (COLUMNS / if shape.packed(packing).is_some() { UNIT } else { 4 }) as u32,
            output_stride: rows as u32,
            residual_stride: 0,
            scale: 1.0,
            first_group: 0,
        };
        gpu.queue.write_buffer(&self.step, 0, bytemuck::cast_slice(&Header::new(0, tokens).words()));
        gpu.queue.write_buffer(&self.params, 0, bytemuck::cast_slice(&params.words()));
        let compiled = gpu.pipelines.get(gpu, &program(packing, shape, false, Residual::None));
        let group = self.group(gpu, &compiled);
        let workgroups = shape.grid(&params).workgroups(tokens as u32);
        let mut repeats = 1;
        while timed(gpu, &compiled, &group, workgroups, repeats).await? < ENOUGH && repeats < MOST_REPEATS {
            repeats *= 4;
        }
        let first = timed(gpu, &compiled, &group, workgroups, repeats).await?;
        let second = timed(gpu, &compiled, &group, workgroups, repeats).await?;
        Ok(first.min(second) / f64::from(repeats))
    }

    fn group(&self, gpu: &Gpu, compiled: &Compiled) -> BindGroup {
        let buffers = [&self.step, &self.params, &self.quants, &self.extras, &self.input, &self.output];
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &compiled.layout,
            entries: &entries,
        })
    }
}

/// Runs a dispatch a few times and says how long that took: by the device's clock, or where it has none by the caller's.
async fn timed(
    gpu: &Gpu,
    compiled: &Compiled,
    group: &BindGroup,
    (x, y): (u32, u32),
    repeats: u32,
) -> Result<f64, BackendError> {
    let stopwatch = if gpu.facts.timestamp_queries { Some(Stopwatch::new(gpu, 1).await?) } else { None };
    let mut encoder = gpu.device.create_command_encoder(&CommandEncoderDescriptor::default());
    {
        let description = stopwatch.as_ref().map(|stopwatch| stopwatch.pass(0)).unwrap_or_default();
        let mut pass = encoder.begin_compute_pass(&description);
        pass.set_pipeline(&compiled.pipeline);
        pass.set_bind_group(0, group, &[]);
        for _ in 0..repeats {
            pass.dispatch_workgroups(x, y, 1);
        }
    }
    let clock = Clock::start();
    let by_device = if let Some(stopwatch) = stopwatch {
        stopwatch.submit(gpu, encoder).await?.first().copied().unwrap_or(0.0)
    } else {
        let submission = gpu.queue.submit([encoder.finish()]);
        readback::finished(gpu, submission).await?;
        0.0
    };
    // A coarse clock may say nothing of a short pass.
    Ok(if by_device > 0.0 { by_device / 1e6 } else { clock.seconds() })
}

#[cfg(test)]
mod tests {
    use nearside_engine::backend::{CacheFormat, ExecutorOptions};
    use nearside_engine::graph::{CacheShape, Op};
    use nearside_gguf::DataType;

    use super::{batch, most_tokens, tune};
    use crate::adapter::Tuning;
    use crate::kernels::tiles::Tile;
    use crate::small_model::Builder;
    use crate::testing::each_gpu;

    #[test]
    fn a_tile_of_those_that_run_is_chosen_and_its_rate_known() {
        each_gpu(|gpu| {
            let mut gpu = gpu.clone();
            pollster::block_on(tune(&mut gpu, None)).expect("the products run");
            assert!(gpu.tuning.rate > 0);
            let known = |tile: Tile| Tile::all(&gpu.facts).any(|other| other == tile);
            assert!(gpu.tuning.tiles.is_none_or(|tiles| known(tiles.floats) && known(tiles.main())));
            let mut blind = gpu.clone();
            blind.facts.timestamp_queries = false;
            pollster::block_on(tune(&mut blind, None)).expect("the products run");
            assert!(blind.tuning.rate > 0);
        });
    }

    #[test]
    fn the_longest_dispatch_of_a_step_ends_in_time() {
        let mut builder = Builder::new(10, vec![CacheShape { heads: 1, head_dim: 32 }], 1);
        let [input, output] = [1024, 2048].map(|width| builder.slot(width));
        let weight = builder.weight(2048, 1024, DataType::Q8_0);
        let mut graph = builder.model.graph;
        graph.ops.push(Op::MatMul { weight, bias: None, scale: 1.0, residual: None, input, output });
        let options = ExecutorOptions { context: 128, batch: 256, choices: 1, cache: CacheFormat::F16 };
        each_gpu(|gpu| {
            let tokens = |rate| most_tokens(&graph, options, &Tuning { rate, ..Tuning::new(&gpu.facts, false) });
            // A token takes 4.2 million operations: 100 ms are enough for so many of them.
            assert_eq!(tokens(5_000_000_000), 64);
            assert_eq!(tokens(50_000_000_000), 1152);
            assert_eq!(tokens(1_500_000_000), 32);
            assert_eq!((tokens(1000), tokens(0)), (8, usize::MAX));
            graph_with_attention(&graph, options, gpu);
        });
        assert_eq!([10, 2_000, 20_000].map(|gigas| batch(gigas * 1_000_000_000)), [256, 512, 1024]);
    }

    fn graph_with_attention(
        graph: &nearside_engine::graph::Graph,
        options: ExecutorOptions,
        gpu: &crate::testing::Gpu,
    ) {
        let mut graph = graph.clone();
        let (query, output) = (nearside_engine::graph::Slot(0), nearside_engine::graph::Slot(1));
        graph.ops.push(Op::Attention { layer: 0, query, heads: 32, scale: 1.0, window: None, output });
        let tuning = Tuning { rate: 50_000_000_000, ..Tuning::new(&gpu.facts, false) };
        let tokens = |context| most_tokens(&graph, ExecutorOptions { context, ..options }, &tuning);
        // A long past takes longer than the matrix, unless a window ends it.
        assert!(tokens(100_000) < tokens(128), "{} {}", tokens(100_000), tokens(128));
    }
}
