//! The plain way of stepping: each step reads on the device what the one before it chose there, and is submitted
//! before anybody has looked at that.

use std::collections::VecDeque;

use super::answer::broken;
use super::{Core, Stepping};
use crate::backend::{Step, StepInput, Want};
use crate::{EngineError, FinishReason};

/// Where the steps are.
pub(super) struct Pipelined {
    /// Prompt tokens that the session holds or that are in flight.
    submitted: usize,
    /// Steps submitted that choose a token.
    choosing: usize,
    flights: VecDeque<Flight>,
}

/// What a step in flight was for.
enum Flight {
    /// Reads so many prompt tokens and, if they are the last, chooses a token.
    Prompt { tokens: usize, chooses: bool },
    /// Reads the token that the step before it chose, and chooses the next.
    Answer,
}

impl Pipelined {
    /// Nothing submitted, so many tokens of the prompt already in the session.
    pub(super) fn new(reused: usize) -> Self {
        Self { submitted: reused, choosing: 0, flights: VecDeque::new() }
    }

    /// Submits the next step, if there is one that may be needed.
    fn submit(&mut self, core: &mut Core<'_>) -> Result<bool, EngineError> {
        let cache = core.session.cache;
        let limits = core.engine.pipeline.executor.options();
        if self.submitted < core.prompt.len() {
            let position = self.submitted;
            let end = core.prompt.len().min(position + limits.batch);
            let chooses = end == core.prompt.len() && core.options.max_tokens > 0;
            let rules = [core.rule(end)];
            let want = if chooses { Want::Sample(&rules, core.candidates()) } else { Want::Nothing };
            let input = StepInput::Tokens(&core.prompt[position..end]);
            core.engine.pipeline.submit(Step { cache, position, input, want })?;
            self.flights.push_back(Flight::Prompt { tokens: end - position, chooses });
            self.choosing += usize::from(chooses);
            self.submitted = end;
            return Ok(true);
        }
        // Every step that chooses is followed by one that reads what it chose, before anybody has looked
        // at it: when the answer turns out to end there, that one step was for nothing.
        if self.choosing == 0 || self.choosing >= core.options.max_tokens {
            return Ok(false);
        }
        let position = core.prompt.len() + self.choosing - 1;
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
    async fn advance(&mut self, core: &mut Core<'_>) -> Result<bool, EngineError> {
        let depth = core.engine.pipeline.executor.steps_in_flight();
        while self.flights.len() < depth && self.submit(core)? {}
        let output = core.engine.pipeline.collect().await?;
        let (Some(output), Some(flight)) = (output, self.flights.pop_front()) else {
            return Err(EngineError::Interrupted);
        };
        match flight {
            Flight::Prompt { tokens, chooses } => {
                core.read(tokens);
                if !chooses {
                    if core.session.tokens.len() < core.prompt.len() {
                        return Ok(false);
                    }
                    core.answer.finish(FinishReason::Length, core.engine.tokenizer());
                    return Ok(true);
                }
            }
            Flight::Answer => core.read(1),
        }
        let choice = output.choices.first().ok_or_else(|| broken("the step brought back no token"))?;
        core.answer.take(choice, false, core.engine.tokenizer())
    }
}
