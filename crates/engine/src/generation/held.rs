//! Stepping with held logits: while the device computes them, the host works out which tokens may come next and
//! which are penalized, and then has the device choose.

use super::answer::broken;
use super::penalties::Penalties;
use super::{Core, Next, Stepping};
use crate::backend::{Choice, HeldChoice, Step, StepInput, Want};
use crate::constraints::Matcher;
use crate::{EngineError, FinishReason};

/// Where the steps are.
pub(super) struct Held {
    matcher: Option<Matcher>,
    penalties: Penalties,
    begun: bool,
    /// Whether the device is reading its last choice already, before anybody has looked at that.
    ahead: bool,
}

impl Held {
    /// Nothing submitted.
    pub(super) fn new(matcher: Option<Matcher>, penalties: Penalties) -> Self {
        Self { matcher, penalties, begun: false, ahead: false }
    }

    /// Writes the tokens that can only follow; of many as many as are read in one step, so that a caller can call off
    /// an answer that never has a choice.
    fn write_forced(&mut self, core: &mut Core<'_>) -> Result<Next, EngineError> {
        let Some(matcher) = &mut self.matcher else { return Ok(Next::Step) };
        for _ in 0..core.engine.pipeline.executor.options().batch {
            let Some(token) = matcher.certain()? else { break };
            let complete = matcher.take(token)?;
            let next = core.force(token, complete);
            if next != Next::Step {
                return Ok(next);
            }
        }
        Ok(Next::Step)
    }

    /// Has the device choose from what it holds, and read what it chose at once where it runs beside its caller.
    fn choose(&mut self, core: &mut Core<'_>) -> Result<(), EngineError> {
        let position = core.text.len();
        let (prompt, written) = core.known.split_at(core.prompt);
        let changes = self.penalties.changes(prompt, written);
        let allowed = self.matcher.as_mut().map(Matcher::mask).transpose()?;
        let held = HeldChoice { rule: core.rule(position), candidates: core.candidates(), changes: &changes, allowed };
        core.engine.pipeline.choose(held)?;
        let executor = &core.engine.pipeline.executor;
        let more = core.wanted() > 1 && position < executor.options().context;
        self.ahead = more && executor.steps_in_flight() > 1;
        if self.ahead {
            let cache = core.cache;
            core.engine.pipeline.submit(Step { cache, position, input: StepInput::Sampled, want: Want::Hold })?;
        }
        Ok(())
    }

    /// Takes what was chosen, and writes what can only follow it.
    fn take(&mut self, core: &mut Core<'_>, choice: &Choice) -> Result<Next, EngineError> {
        let ends = core.answer.ends_with(choice.token, core.engine.tokenizer());
        let complete = match &mut self.matcher {
            Some(matcher) if !ends => matcher.take(choice.token)?,
            _ => false,
        };
        match core.take(choice, complete)? {
            Next::Step => self.write_forced(core),
            next => Ok(next),
        }
    }
}

impl Stepping for Held {
    fn begin(&mut self, _reused: usize) {
        self.ahead = false;
    }

    async fn advance(&mut self, core: &mut Core<'_>) -> Result<Next, EngineError> {
        let answers = core.options.max_tokens > 0;
        if !std::mem::replace(&mut self.begun, true) && answers {
            match self.write_forced(core)? {
                Next::Step => {}
                next => return Ok(next),
            }
        }
        let start = core.engine.cached(core.session);
        let known = core.text.len();
        let reading = if std::mem::take(&mut self.ahead) {
            1
        } else {
            let end = known.min(start + core.engine.pipeline.executor.options().batch);
            let want = if end == known && answers { Want::Hold } else { Want::Nothing };
            let input = StepInput::Tokens(&core.text[start..end]);
            core.engine.pipeline.submit(Step { cache: core.cache, position: start, input, want })?;
            end - start
        };
        let holds = start + reading == known && answers;
        if holds {
            self.choose(core)?;
        }
        core.engine.pipeline.collect().await?.ok_or(EngineError::Interrupted)?;
        core.read(reading);
        if holds {
            let output = core.engine.pipeline.collect().await?.ok_or(EngineError::Interrupted)?;
            let choice = output.choices.first().ok_or_else(|| broken("the choice brought back no token"))?;
            return self.take(core, choice);
        }
        let over = start + reading == known && !answers;
        Ok(if over { core.finish(FinishReason::Length) } else { Next::Step })
    }
}
