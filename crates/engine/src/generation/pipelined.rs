//! The plain way of stepping: each step reads on the device what the one before it chose there, and is submitted
//! before anybody has looked at that.

use std::collections::VecDeque;

use super::answer::broken;
use super::{Core, Next, Stepping};
use crate::backend::{Step, StepInput, Want};
use crate::{EngineError, FinishReason};

/// Where the steps are.
pub(super) struct Pipelined {
    /// Prompt tokens that the session holds or that are in flight.
    submitted: usize,
    /// Steps submitted that choose a token.
    choosing: usize,
    flights: VecDeque<Flight>,
    /// Whether the text was read before and only its newest token is not.
    known: bool,
}

/// What a step in flight was for.
enum Flight {
    /// Reads so many prompt tokens and, if they are the last, chooses a token.
    Text { tokens: usize, chooses: bool },
    /// Reads the token that the step before it chose, and chooses the next.
    Answer,
}

impl Pipelined {
    /// Nothing submitted, so many tokens of the prompt already in the session.
    pub(super) fn new(reused: usize) -> Self {
        Self { submitted: reused, choosing: 0, flights: VecDeque::new(), known: false }
    }

    /// Whether nothing is in flight and the newest token is known.
    pub(super) fn is_dry(&self) -> bool {
        self.flights.is_empty() && (self.known || self.choosing > 0)
    }

    /// Goes on after steps of another kind, with the newest token from the caller's side.
    pub(super) fn resume(&mut self, core: &mut Core<'_>) {
        core.start = core.text.len();
        *self = Self { submitted: core.start - 1, choosing: 0, flights: VecDeque::new(), known: true };
    }

    /// Keeps so many steps in flight and takes what comes back next.
    pub(super) async fn advance_with(&mut self, core: &mut Core<'_>, depth: usize) -> Result<Next, EngineError> {
        while self.flights.len() < depth && self.submit(core)? {}
        let output = core.engine.pipeline.collect().await?;
        let (Some(output), Some(flight)) = (output, self.flights.pop_front()) else {
            return Err(EngineError::Interrupted);
        };
        match flight {
            Flight::Text { tokens, chooses } => {
                core.read(tokens);
                if !chooses {
                    let over = core.engine.cached(core.session) == core.start;
                    return Ok(if over { core.finish(FinishReason::Length) } else { Next::Step });
                }
            }
            Flight::Answer => core.read(1),
        }
        let choice = output.choices.first().ok_or_else(|| broken("the step brought back no token"))?;
        core.take(choice, false)
    }

    /// Submits the next step, if there is one that may be needed.
    fn submit(&mut self, core: &mut Core<'_>) -> Result<bool, EngineError> {
        let cache = core.cache;
        let limits = core.engine.pipeline.executor.options();
        if self.submitted < core.start {
            let position = self.submitted;
            let end = core.start.min(position + limits.batch);
            let chooses = end == core.start && core.wanted() > 0;
            let rules = [core.rule(end)];
            let want = if chooses { Want::Sample(&rules, core.candidates()) } else { Want::Nothing };
            let input = StepInput::Tokens(&core.text[position..end]);
            core.engine.pipeline.submit(Step { cache, position, input, want })?;
            self.flights.push_back(Flight::Text { tokens: end - position, chooses });
            self.choosing += usize::from(chooses);
            self.submitted = end;
            return Ok(true);
        }
        // Every step that chooses is followed by one that reads what it chose, before anybody has looked
        // at it: when the answer turns out to end there, that one step was for nothing.
        if self.choosing == 0 || self.flights.len() >= core.wanted() {
            return Ok(false);
        }
        let position = core.start + self.choosing - 1;
        if position >= limits.context {
            return Ok(false);
        }
        let want = Want::Sample(&[core.rule(position + 1)], core.candidates());
        core.engine.pipeline.submit(Step { cache, position, input: StepInput::Sampled, want })?;
        self.flights.push_back(Flight::Answer);
        self.choosing += 1;
        Ok(true)
    }
}

impl Stepping for Pipelined {
    fn begin(&mut self, reused: usize) {
        *self = Self::new(reused);
    }

    async fn advance(&mut self, core: &mut Core<'_>) -> Result<Next, EngineError> {
        let depth = core.engine.pipeline.executor.steps_in_flight();
        self.advance_with(core, depth).await
    }
}
