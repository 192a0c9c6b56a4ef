//! Throw-away steps at the end of loading, so that the first answer begins as soon as any other.

use nearside_engine::backend::{BackendError, Counters, Executor, SampleRule, Step, StepInput, Want};

use crate::executor::{GpuExecutor, Left};
use crate::plan::FEW;

/// Takes the likeliest token.
pub(crate) const GREEDY: SampleRule = SampleRule { temperature: 0.0, top_k: 1, top_p: 1.0, min_p: 0.0, draw: 0.0 };

impl GpuExecutor {
    /// Has every kernel of prefill and decode run once: drivers prepare much at the first use only. The cache that
    /// this takes is the first conversation's afterwards.
    pub(crate) async fn warm_up(&mut self) -> Result<(), BackendError> {
        let lost_after = self.gpu.lost_after.take();
        let result = self.throw_away().await;
        self.gpu.lost_after = lost_after;
        self.left = Left::Nothing;
        self.counters = Counters { weight_bytes: self.counters.weight_bytes, ..Counters::default() };
        match result {
            // That there is no room for a conversation is told when one is wanted.
            Err(BackendError::OutOfMemory { .. }) => Ok(()),
            other => other,
        }
    }

    async fn throw_away(&mut self) -> Result<(), BackendError> {
        let cache = self.create_cache()?;
        let zeros = [0; FEW + 1];
        let apart = self.bound.operations.iter().any(|operation| !operation.dispatches.few.is_empty());
        for rows in [apart.then_some(zeros.len()), Some(2), Some(1)].into_iter().flatten() {
            let tokens = &zeros[..rows.min(self.options.batch)];
            let want = Want::Sample(&[GREEDY], 2);
            let run = self.submit(Step { cache, position: 0, input: StepInput::Tokens(tokens), want });
            let output = match run {
                Ok(ticket) => self.collect(ticket).await.map(|_| ()),
                Err(error) => Err(error),
            };
            if output.is_err() {
                self.drop_cache(cache);
                return output;
            }
        }
        self.spare = self.caches.get_mut(cache.0).and_then(Option::take);
        if let Some(cache) = &mut self.spare {
            cache.length = 0;
        }
        Ok(())
    }
}
