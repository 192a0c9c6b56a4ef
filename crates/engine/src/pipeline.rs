//! Steps in flight, kept in order.

use std::collections::VecDeque;

use crate::backend::{BackendError, Executor, HeldChoice, Step, StepOutput, Ticket};

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
}
