//! Stepping with foresight: tokens that are likely to follow are read together with the newest one, and the device
//! chooses after each of them. A choice that equals the token foreseen makes the next row right as well. Since a choice
//! depends on the text, the seed and the position alone, the answer is the one that plain stepping gives.

mod draft;
mod lookup;
mod pace;

pub(crate) use self::draft::Draft;
use self::pace::{MOST, Pace};
use super::answer::broken;
use super::pipelined::Pipelined;
use super::{Core, Next, Stepping};
use crate::backend::{SampleRule, Step, StepInput, TokenId, Want};
use crate::{EngineError, Speculation};

/// Where the steps are.
pub(super) struct Speculating {
    plain: Pipelined,
    source: Speculation,
    /// How far to look ahead by chance matches, or by a draft.
    guesses: Pace,
    /// How far to look ahead where the text is being copied.
    copies: Pace,
}

/// What is likely to follow.
#[derive(Default)]
struct Foreseen {
    tokens: Vec<TokenId>,
    /// Whether it stands behind a long match.
    copied: bool,
}

impl Speculating {
    /// Nothing submitted.
    pub(super) fn new(source: Speculation) -> Self {
        Self { plain: Pipelined::new(0), source, guesses: Pace::curious(), copies: Pace::sure() }
    }

    fn pace(&mut self, copied: bool) -> &mut Pace {
        if copied { &mut self.copies } else { &mut self.guesses }
    }

    /// So many tokens came.
    fn pass(&mut self, tokens: usize) {
        self.guesses.pass(tokens);
        self.copies.pass(tokens);
    }

    /// One plain step, after which nothing more is in flight where speculation pays. What is foreseen meanwhile costs
    /// nothing and shows whether it would pay.
    async fn step_plainly(&mut self, core: &mut Core<'_>) -> Result<Next, EngineError> {
        let found = match self.source {
            Speculation::Lookup => lookup::continuation(&core.text, 1),
            Speculation::None | Speculation::Draft => None,
        };
        let foreseen = found.and_then(|found| Some((*found.tokens.first()?, found.copied)));
        let pays = match foreseen {
            Some((_, copied)) => self.pace(copied).pays(),
            None => self.source == Speculation::Draft && self.guesses.pays(),
        };
        let depth = if pays { 1 } else { core.engine.pipeline.executor.steps_in_flight() };
        let before = core.text.len();
        let next = self.plain.advance_with(core, depth).await?;
        if core.text.len() > before {
            if let Some((token, copied)) = foreseen {
                self.pace(copied).tell(usize::from(core.text.last() == Some(&token)), 1);
            }
            self.pass(1);
        }
        Ok(next)
    }

    /// What is likely to follow, nothing where looking ahead does not pay.
    async fn foresee(&mut self, core: &mut Core<'_>) -> Result<Foreseen, EngineError> {
        let limits = core.engine.pipeline.executor.options();
        let context = core.engine.info().context;
        let most = (limits.choices.min(limits.batch).min(core.wanted()).saturating_sub(1))
            .min(context.saturating_sub(core.text.len()));
        match self.source {
            Speculation::Lookup => {
                if let Some(lookup::Found { tokens, copied }) = lookup::continuation(&core.text, most.min(MOST)) {
                    let pace = self.pace(copied);
                    let length = if pace.pays() { pace.length().min(tokens.len()) } else { 0 };
                    return Ok(Foreseen { tokens: tokens[..length].to_vec(), copied });
                }
            }
            Speculation::Draft if self.guesses.pays() && most > 0 => {
                let rules = rules(core, core.text.len(), most.min(self.guesses.length()));
                let vocabulary = core.engine.info().vocabulary;
                let Some(draft) = &mut core.engine.draft else { return Ok(Foreseen::default()) };
                if let Ok(mut tokens) = draft.foresee(&core.text, &rules).await {
                    let known = tokens.iter().position(|token| *token as usize >= vocabulary);
                    tokens.truncate(known.unwrap_or(tokens.len()));
                    return Ok(Foreseen { tokens, copied: false });
                }
                // The answer does without a draft that cannot run any more.
                core.engine.draft = None;
            }
            Speculation::None | Speculation::Draft => {}
        }
        Ok(Foreseen::default())
    }

    /// Reads the newest token and those foreseen, and takes the choices as far as they were right.
    async fn verify(&mut self, core: &mut Core<'_>, foreseen: &Foreseen) -> Result<Next, EngineError> {
        let Foreseen { tokens: foreseen, copied } = foreseen;
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
        self.pace(*copied).tell(accepted, foreseen.len());
        self.pass(accepted + 1);
        // What the device chose last is not what comes next.
        self.plain.resume(core);
        Ok(next)
    }
}

impl Stepping for Speculating {
    fn begin(&mut self, reused: usize) {
        self.plain.begin(reused);
    }

    async fn advance(&mut self, core: &mut Core<'_>) -> Result<Next, EngineError> {
        if self.plain.is_dry() {
            let foreseen = self.foresee(core).await?;
            if !foreseen.tokens.is_empty() {
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
