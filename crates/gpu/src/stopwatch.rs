//! Compute passes timed by the device's own clock.

use nearside_engine::backend::BackendError;
use wgpu::{
    Buffer, BufferUsages, CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites, QuerySet,
    QuerySetDescriptor, QueryType,
};

use crate::adapter::Gpu;
use crate::allocation::Allocations;
use crate::readback;

/// Passes in one query set: WebGPU allows 4,096 queries in each.
const PASSES: usize = 2048;

/// Bytes of the times of one query set.
const SET_BYTES: u64 = PASSES as u64 * 16;

/// Room for the times of some passes.
pub(crate) struct Stopwatch {
    sets: Vec<QuerySet>,
    resolved: Buffer,
    staging: Buffer,
    passes: usize,
    _allocations: Allocations,
}

impl Stopwatch {
    /// Fails where the adapter has no clock to ask.
    pub(crate) async fn new(gpu: &Gpu, passes: usize) -> Result<Self, BackendError> {
        if !gpu.facts.timestamp_queries {
            return Err(BackendError::Unsupported {
                what: format!("timing kernels on `{}`, which has no timestamp queries,", gpu.facts.name),
                backend: "GPU",
                remedy: "update its driver or take another adapter; whole steps are timed without them",
            });
        }
        let count = passes.div_ceil(PASSES).max(1);
        let sets = (0..count).map(|_| {
            gpu.device.create_query_set(&QuerySetDescriptor {
                label: None,
                ty: QueryType::Timestamp,
                count: PASSES as u32 * 2,
            })
        });
        let mut allocations = Allocations::new(gpu);
        let bytes = count as u64 * SET_BYTES;
        let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
        let resolved = allocations.buffer(gpu, bytes, usage, "timestamps").await?;
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        let staging = allocations.buffer(gpu, bytes, usage, "timestamps").await?;
        Ok(Self { sets: sets.collect(), resolved, staging, passes, _allocations: allocations })
    }

    /// The description of a pass that is timed, by its number.
    pub(crate) fn pass(&self, pass: usize) -> ComputePassDescriptor<'_> {
        let at = (pass % PASSES) as u32 * 2;
        let timestamp_writes = self.sets.get(pass / PASSES).map(|query_set| ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        });
        ComputePassDescriptor { label: None, timestamp_writes }
    }

    /// Submits passes, as many as there is room for, and gives the microseconds of each.
    pub(crate) async fn submit(&self, gpu: &Gpu, mut encoder: CommandEncoder) -> Result<Vec<f64>, BackendError> {
        for (index, set) in self.sets.iter().enumerate() {
            let passes = (self.passes - index * PASSES).min(PASSES) as u32;
            encoder.resolve_query_set(set, 0..passes * 2, &self.resolved, index as u64 * SET_BYTES);
        }
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, self.resolved.size());
        let submission = gpu.queue.submit([encoder.finish()]);
        let words = readback::read(gpu, submission, &self.staging).await?;
        let ticks = words.chunks_exact(2).map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32).collect::<Vec<_>>();
        let period = f64::from(gpu.queue.get_timestamp_period()) / 1e3;
        let passes = ticks.chunks_exact(2).take(self.passes);
        Ok(passes.map(|ends| ends[1].saturating_sub(ends[0]) as f64 * period).collect())
    }
}

/// The one in the middle, for each pass of some rounds.
pub(crate) fn medians(rounds: &[Vec<f64>]) -> Vec<f64> {
    let passes = rounds.iter().map(Vec::len).min().unwrap_or(0);
    let median = |pass: usize| {
        let mut times: Vec<f64> = rounds.iter().map(|round| round[pass]).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    (0..passes).map(median).collect()
}

#[cfg(test)]
mod tests {
    use super::{Stopwatch, medians};
    use crate::testing::each_gpu;

    #[test]
    fn each_pass_has_its_own_median() {
        let rounds = [vec![3.0, 10.0], vec![1.0, 30.0], vec![2.0, 20.0]];
        assert_eq!(medians(&rounds), [2.0, 20.0]);
        assert_eq!(medians(&[]), [0.0; 0]);
    }

    #[test]
    fn an_adapter_without_a_clock_says_so() {
        each_gpu(|gpu| {
            let mut without = gpu.clone();
            without.facts.timestamp_queries = false;
            let error = pollster::block_on(Stopwatch::new(&without, 1)).err().expect("no clock").to_string();
            assert!(error.contains("no timestamp queries") && error.contains("update its driver"), "{error}");
        });
    }
}
