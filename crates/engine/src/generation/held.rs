//! Stepping with held logits: while the device computes them, the host works out which tokens may come next and
//! which are penalized, and then has the device choose.

use super::answer::broken;
use super::penalties::Penalties;
use super::{Core, Stepping};
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

    /// Writes the tokens that can only follow. Says whether the answer has ended.
    fn write_forced(&mut self, core: &mut Core<'_>) -> Result<bool, EngineError> {
        let Some(matcher) = &mut self.matcher else { return Ok(false) };
        for token in matcher.forced() {
            let complete = matcher.take(token)?;
            if core.answer.force(token, complete, core.engine.tokenizer()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the device choose from what it holds, and read what it chose at once where it runs beside its caller.
    fn choose(&mut self, core: &mut Core<'_>) -> Result<(), EngineError> {
        let written = core.answer.tokens();
        let position = core.prompt.len() + written.len();
        let changes = self.penalties.changes(&core.prompt, written);
        let allowed = self.matcher.as_mut().map(Matcher::mask).transpose()?;
        let held = HeldChoice {
            rule: core.rule(position),
            candidates: core.candidates(),
            changes: &changes,
            allowed: allowed.as_deref(),
        };
        core.engine.pipeline.choose(held)?;
        let executor = &core.engine.pipeline.executor;
        let more = core.answer.tokens().len() + 1 < core.options.max_tokens && position < executor.options().context;
        self.ahead = more && executor.steps_in_flight() > 1;
        if self.ahead {
            let cache = core.session.cache;
            core.engine.pipeline.submit(Step { cache, position, input: StepInput::Sampled, want: Want::Hold })?;
        }
        Ok(())
    }

    /// Takes what was chosen, and writes what can only follow it. Says whether the answer has ended.
    fn take(&mut self, core: &mut Core<'_>, choice: &Choice) -> Result<bool, EngineError> {
        let ends = core.answer.ends_with(choice.token, core.engine.tokenizer());
        let complete = match &mut self.matcher {
            Some(matcher) if !ends => matcher.take(choice.token)?,
            _ => false,
        };
        Ok(core.answer.take(choice, complete, core.engine.tokenizer())? || self.write_forced(core)?)
    }
}

impl Stepping for Held {
    async fn advance(&mut self, core: &mut Core<'_>) -> Result<bool, EngineError> {
        let answers = core.options.max_tokens > 0;
        if !std::mem::replace(&mut self.begun, true) && answers && self.write_forced(core)? {
            return Ok(true);
        }
        let start = core.session.tokens.len();
        let known = core.prompt.len() + core.answer.tokens().len();
        let reading = if std::mem::take(&mut self.ahead) {
            1
        } else {
            let end = known.min(start + core.engine.pipeline.executor.options().batch);
            let want = if end == known && answers { Want::Hold } else { Want::Nothing };
            let tokens = core.known(start, end);
            let input = StepInput::Tokens(&tokens);
            core.engine.pipeline.submit(Step { cache: core.session.cache, position: start, input, want })?;
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
        if over {
            core.answer.finish(FinishReason::Length, core.engine.tokenizer());
        }
        Ok(over)
    }
}
