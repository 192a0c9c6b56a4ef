//! Stepping with foresight: tokens that are likely to follow are read together with the newest one, and the device
//! chooses after each of them. A choice that equals the token foreseen makes the next row right as well. Since a choice
//! depends on the text, the seed and the position alone, the answer is the one that plain stepping gives.

mod draft;
mod lookup;
mod pace;

pub(crate) use self::draft::Draft;
use self::pace::Pace;
use super::answer::broken;
use super::pipelined::Pipelined;
use super::{Core, Next, Stepping};
use crate::backend::{SampleRule, Step, StepInput, TokenId, Want};
use crate::{EngineError, Speculation};

/// Where the steps are.
pub(super) struct Speculating {
    plain: Pipelined,
    source: Speculation,
    pace: Pace,
    /// What was foreseen while stepping plainly, which costs nothing and shows whether speculation would pay.
    foreseen: Option<TokenId>,
}

impl Speculating {
    /// Nothing submitted.
    pub(super) fn new(source: Speculation) -> Self {
        Self { plain: Pipelined::new(0), source, pace: Pace::new(), foreseen: None }
    }

    /// One plain step, after which nothing more is in flight where speculation pays.
    async fn step_plainly(&mut self, core: &mut Core<'_>) -> Result<Next, EngineError> {
        let depth = if self.pace.pays() { 1 } else { core.engine.pipeline.executor.steps_in_flight() };
        let before = core.text.len();
        let next = self.plain.advance_with(core, depth).await?;
        if core.text.len() > before {
            if let Some(foreseen) = self.foreseen.take() {
                self.pace.tell(usize::from(core.text.last() == Some(&foreseen)), 1);
            }
            self.pace.pass(1);
            if self.source == Speculation::Lookup {
                self.foreseen = lookup::continuation(&core.text, 1).first().copied();
            }
        }
        Ok(next)
    }

    /// What is likely to follow.
    async fn foresee(&self, core: &mut Core<'_>) -> Result<Vec<TokenId>, EngineError> {
        let limits = core.engine.pipeline.executor.options();
        let context = core.engine.info().context;
        let most = (limits.choices.min(limits.batch).min(core.wanted()).saturating_sub(1))
            .min(context.saturating_sub(core.text.len()))
            .min(self.pace.length());
        if most == 0 {
            return Ok(Vec::new());
        }
        match self.source {
            Speculation::None => Ok(Vec::new()),
            Speculation::Lookup => Ok(lookup::continuation(&core.text, most).to_vec()),
            Speculation::Draft => {
                let rules = rules(core, core.text.len(), most);
                let vocabulary = core.engine.info().vocabulary;
                let Some(draft) = &mut core.engine.draft else { return Ok(Vec::new()) };
                if let Ok(mut tokens) = draft.foresee(&core.text, &rules).await {
                    let known = tokens.iter().position(|token| *token as usize >= vocabulary);
                    tokens.truncate(known.unwrap_or(tokens.len()));
                    return Ok(tokens);
                }
                // The answer does without a draft that cannot run any more.
                core.engine.draft = None;
                Ok(Vec::new())
            }
        }
    }

    /// Reads the newest token and those foreseen, and takes the choices as far as they were right.
    async fn verify(&mut self, core: &mut Core<'_>, foreseen: &[TokenId]) -> Result<Next, EngineError> {
        let position = core.text.len() - 1;
        let rules = rules(core, position + 1, foreseen.len() + 1);
        let tokens = [&core.text[position..], foreseen].concat();
        let want = Want::Sample(&rules, core.candidates());
        core.engine.pipeline.submit(Step { cache: core.cache, position, input: StepInput::Tokens(&tokens), want })?;
        let output = core.engine.pipeline.collect().await?.ok_or(EngineError::Interrupted)?;
        if output.choices.len() != rules.len() {
            return Err(broken("the step brought back another number of choices than it was asked for"));
        }
        core.read(1);
        let mut accepted = 0;
        let mut next = Next::Step;
        for (index, choice) in output.choices.iter().enumerate() {
            let right = foreseen.get(index) == Some(&choice.token);
            accepted += usize::from(right);
            next = core.take(choice, false)?;
            if next != Next::Step || !right {
                break;
            }
            core.read(1);
        }
        core.answer.foresaw(foreseen.len(), accepted);
        self.pace.tell(accepted, foreseen.len());
        self.pace.pass(accepted + 1);
        // What the device chose last is not what comes next.
        self.plain.resume(core);
        self.foreseen = None;
        Ok(next)
    }
}

impl Stepping for Speculating {
    fn begin(&mut self, reused: usize) {
        self.plain.begin(reused);
        self.foreseen = None;
    }

    async fn advance(&mut self, core: &mut Core<'_>) -> Result<Next, EngineError> {
        if self.pace.pays() && self.plain.is_dry() {
            let foreseen = self.foresee(core).await?;
            if !foreseen.is_empty() {
                return self.verify(core, &foreseen).await;
            }
        }
        self.step_plainly(core).await
    }
}

/// How the tokens from `position` of the text on are chosen.
fn rules(core: &Core<'_>, position: usize, count: usize) -> Vec<SampleRule> {
    (position..position + count).map(|position| core.rule(position)).collect()
}
