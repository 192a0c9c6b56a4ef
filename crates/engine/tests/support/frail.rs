//! A backend around another that loses its device at a chosen call.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::{
    AdapterId, Backend, BackendDescription, BackendError, CacheId, Counters, Executor, ExecutorOptions, HeldChoice,
    LoadProgress, LowRanks, Step, StepOutput, Ticket, WeightFile,
};
use nearside_engine::graph::Graph;

/// Counts the calls that can fail; the one whose turn it is loses the device.
#[derive(Default)]
pub(crate) struct Fate {
    calls: Cell<usize>,
    loses_at: Cell<Option<usize>>,
}

impl Fate {
    /// From now on the call after so many others fails.
    pub(crate) fn lose_after(&self, calls: usize) {
        self.calls.set(0);
        self.loses_at.set(Some(calls));
    }

    /// No call fails any more, on executors loaded from now on.
    pub(crate) fn relent(&self) {
        self.loses_at.set(None);
    }

    /// Calls since the last decision.
    pub(crate) fn calls(&self) -> usize {
        self.calls.get()
    }

    fn call(&self) -> bool {
        let number = self.calls.get();
        self.calls.set(number + 1);
        self.loses_at.get() == Some(number)
    }
}

fn lost() -> BackendError {
    BackendError::DeviceLost { reason: "the test took it away".to_owned() }
}

/// Loads on another backend and loses what it gave.
pub(crate) struct Frail<B> {
    pub(crate) inner: B,
    pub(crate) fate: Rc<Fate>,
}

impl<B: Backend> Frail<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, fate: Rc::default() }
    }
}

impl<B: Backend> Backend for Frail<B> {
    fn describe(&self) -> BackendDescription {
        self.inner.describe()
    }

    fn load<'a>(
        &'a self,
        graph: &'a Graph,
        file: WeightFile<'a>,
        options: ExecutorOptions,
        progress: &'a mut LoadProgress<'a>,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Executor>, BackendError>> {
        async move {
            if self.fate.call() {
                return Err(lost());
            }
            let inner = self.inner.load(graph, file, options, progress).await?;
            Ok(Box::new(FrailExecutor { inner, fate: Rc::clone(&self.fate), gone: false }) as Box<dyn Executor>)
        }
        .boxed_local()
    }
}

struct FrailExecutor {
    inner: Box<dyn Executor>,
    fate: Rc<Fate>,
    gone: bool,
}

impl FrailExecutor {
    fn call(&mut self) -> Result<(), BackendError> {
        self.gone |= self.fate.call();
        if self.gone { Err(lost()) } else { Ok(()) }
    }
}

impl Executor for FrailExecutor {
    fn options(&self) -> ExecutorOptions {
        self.inner.options()
    }

    fn create_cache(&mut self) -> Result<CacheId, BackendError> {
        self.call()?;
        self.inner.create_cache()
    }

    fn drop_cache(&mut self, cache: CacheId) {
        self.inner.drop_cache(cache);
    }

    fn fork_cache(&mut self, from: CacheId, length: usize) -> Result<CacheId, BackendError> {
        self.call()?;
        self.inner.fork_cache(from, length)
    }

    fn submit(&mut self, step: Step<'_>) -> Result<Ticket, BackendError> {
        self.call()?;
        self.inner.submit(step)
    }

    fn choose(&mut self, choice: HeldChoice<'_>) -> Result<Ticket, BackendError> {
        self.call()?;
        self.inner.choose(choice)
    }

    fn add_adapter(&mut self, parts: &mut LowRanks<'_>) -> Result<AdapterId, BackendError> {
        self.call()?;
        self.inner.add_adapter(parts)
    }

    fn use_adapters(&mut self, active: &[(AdapterId, f32)]) -> Result<(), BackendError> {
        self.call()?;
        self.inner.use_adapters(active)
    }

    fn drop_adapter(&mut self, adapter: AdapterId) {
        self.inner.drop_adapter(adapter);
    }

    fn collect(&mut self, ticket: Ticket) -> LocalBoxFuture<'_, Result<StepOutput, BackendError>> {
        async move {
            self.call()?;
            self.inner.collect(ticket).await
        }
        .boxed_local()
    }

    fn steps_in_flight(&self) -> usize {
        self.inner.steps_in_flight()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}
