//! Steps in flight, kept in order.

use std::collections::VecDeque;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::backend::{
    AdapterId, BackendError, CacheId, Counters, Executor, ExecutorOptions, HeldChoice, LowRanks, Step, StepOutput,
    Ticket,
};

/// An executor together with the tickets that nobody has collected yet.
pub(crate) struct Pipeline {
    pub(crate) executor: Box<dyn Executor>,
    tickets: VecDeque<Ticket>,
}

impl Pipeline {
    pub(crate) fn new(executor: Box<dyn Executor>) -> Self {
        Self { executor, tickets: VecDeque::new() }
    }

    pub(crate) fn submit(&mut self, step: Step<'_>) -> Result<(), BackendError> {
        let ticket = self.executor.submit(step)?;
        self.tickets.push_back(ticket);
        Ok(())
    }

    /// Has the step submitted just before choose from what it holds.
    pub(crate) fn choose(&mut self, choice: HeldChoice<'_>) -> Result<(), BackendError> {
        let ticket = self.executor.choose(choice)?;
        self.tickets.push_back(ticket);
        Ok(())
    }

    /// The output of the oldest step in flight; `None` when there is none.
    pub(crate) async fn collect(&mut self) -> Result<Option<StepOutput>, BackendError> {
        match self.tickets.pop_front() {
            None => Ok(None),
            Some(ticket) => self.executor.collect(ticket).await.map(Some),
        }
    }

    /// Waits for what an abandoned generation left behind and throws it away.
    pub(crate) async fn drain(&mut self) -> Result<(), BackendError> {
        while self.collect().await?.is_some() {}
        Ok(())
    }

    /// Lets go of an executor whose device is gone, and of what was in flight there.
    pub(crate) fn give_up(&mut self) {
        let gone = Gone { options: self.executor.options(), counters: self.executor.counters() };
        self.replace(Box::new(gone));
    }

    /// Goes on with another executor.
    pub(crate) fn replace(&mut self, executor: Box<dyn Executor>) {
        self.tickets.clear();
        self.executor = executor;
    }
}

/// Stands where an executor was until there is one again.
struct Gone {
    options: ExecutorOptions,
    counters: Counters,
}

fn gone<T>() -> Result<T, BackendError> {
    Err(BackendError::DeviceLost { reason: "no device has taken its place yet".to_owned() })
}

impl Executor for Gone {
    fn options(&self) -> ExecutorOptions {
        self.options
    }

    fn create_cache(&mut self) -> Result<CacheId, BackendError> {
        gone()
    }

    fn drop_cache(&mut self, _cache: CacheId) {}

    fn fork_cache(&mut self, _from: CacheId, _length: usize) -> Result<CacheId, BackendError> {
        gone()
    }

    fn submit(&mut self, _step: Step<'_>) -> Result<Ticket, BackendError> {
        gone()
    }

    fn choose(&mut self, _choice: HeldChoice<'_>) -> Result<Ticket, BackendError> {
        gone()
    }

    fn add_adapter(&mut self, _parts: &mut LowRanks<'_>) -> Result<AdapterId, BackendError> {
        gone()
    }

    fn use_adapters(&mut self, _active: &[(AdapterId, f32)]) -> Result<(), BackendError> {
        gone()
    }

    fn drop_adapter(&mut self, _adapter: AdapterId) {}

    fn collect(&mut self, _ticket: Ticket) -> LocalBoxFuture<'_, Result<StepOutput, BackendError>> {
        async { gone() }.boxed_local()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
