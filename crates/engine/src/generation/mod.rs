//! An answer in the making.
//!
//! How steps follow one another is a [`Stepping`]; what all of them share is the [`Core`].

mod answer;
mod check;
mod held;
mod penalties;
mod pipelined;

use self::answer::Answer;
use self::held::Held;
use self::penalties::Penalties;
use self::pipelined::Pipelined;
use crate::backend::{MAX_CANDIDATES, SampleRule, TokenId};
use crate::sampling::draw;
use crate::{Engine, EngineError, Event, GenerateOptions, Session};

/// An answer in the making. Dropping it cancels it; the session keeps what is certain.
pub struct Generation<'a> {
    core: Core<'a>,
    way: Way,
    phase: Phase,
}

/// A way of stepping.
trait Stepping {
    /// Keeps the device busy and takes what comes back next. Says whether the answer has ended.
    async fn advance(&mut self, core: &mut Core<'_>) -> Result<bool, EngineError>;
}

/// The ways of stepping there are.
enum Way {
    Pipelined(Pipelined),
    Held(Box<Held>),
}

/// What every way of stepping works on.
struct Core<'a> {
    engine: &'a mut Engine,
    session: &'a mut Session,
    options: GenerateOptions,
    prompt: Vec<TokenId>,
    answer: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Steps of an earlier generation may still be in flight.
    Fresh,
    Running,
    /// The future of `next` is being polled, or was dropped before it was done.
    Waiting,
    Ended,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(
        engine: &'a mut Engine,
        session: &'a mut Session,
        prompt: Vec<TokenId>,
        options: GenerateOptions,
    ) -> Result<Self, EngineError> {
        check::check(&options, engine.info().vocabulary)?;
        // Without penalties and constraint nothing has to be known of a token before the next step starts.
        let matcher = options.constraint.as_ref().map(|constraint| engine.matcher(constraint)).transpose()?;
        let held = (matcher.is_some() || Penalties::wanted(&options))
            .then(|| Box::new(Held::new(matcher, Penalties::new(&options))));
        let reused = session.reuse(&prompt);
        let answer = Answer::new(&options, prompt.len(), reused, engine.info().context);
        let way = held.map_or_else(|| Way::Pipelined(Pipelined::new(reused)), Way::Held);
        Ok(Self { core: Core { engine, session, options, prompt, answer }, way, phase: Phase::Fresh })
    }

    /// The model's tokenizer, for what is reported beside the text.
    pub fn tokenizer(&self) -> &nearside_text::Tokenizer {
        self.core.engine.tokenizer()
    }

    /// The next event; `None` after [`Event::Finished`] or an error. After an error in the middle the
    /// session is empty and can be used again.
    pub async fn next(&mut self) -> Result<Option<Event>, EngineError> {
        if let Some(event) = self.core.answer.next_event() {
            return Ok(Some(event));
        }
        let fresh = match self.phase {
            Phase::Ended => return Ok(None),
            Phase::Waiting => {
                self.phase = Phase::Ended;
                return Err(EngineError::Interrupted);
            }
            Phase::Fresh => true,
            Phase::Running => false,
        };
        self.phase = Phase::Waiting;
        match self.advance(fresh).await {
            Ok((event, ended)) => {
                self.phase = if ended { Phase::Ended } else { Phase::Running };
                Ok(event)
            }
            Err(error) => {
                self.phase = Phase::Ended;
                self.core.session.tokens.clear();
                Err(error)
            }
        }
    }

    /// The next event there is, and whether the answer has ended.
    async fn advance(&mut self, fresh: bool) -> Result<(Option<Event>, bool), EngineError> {
        if fresh {
            self.core.engine.pipeline.drain().await?;
        }
        loop {
            let ended = match &mut self.way {
                Way::Pipelined(way) => way.advance(&mut self.core).await?,
                Way::Held(way) => way.advance(&mut self.core).await?,
            };
            let event = self.core.answer.next_event();
            if ended || event.is_some() {
                return Ok((event, ended));
            }
        }
    }
}

impl Core<'_> {
    /// The tokens of prompt and answer from one position to another.
    fn known(&self, start: usize, end: usize) -> Vec<TokenId> {
        self.prompt.iter().chain(self.answer.tokens()).take(end).skip(start).copied().collect()
    }

    /// So many more tokens of prompt and answer are in the cache.
    fn read(&mut self, count: usize) {
        let start = self.session.tokens.len();
        let tokens = self.known(start, start + count);
        self.session.tokens.extend(tokens);
        if start < self.prompt.len() {
            self.answer.read(self.prompt.len().min(start + count));
        }
    }

    /// How the token at `position` is chosen.
    fn rule(&self, position: usize) -> SampleRule {
        let sampling = &self.options.sampling;
        SampleRule {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            draw: draw(sampling.seed, position),
        }
    }

    /// The chosen token's logit is needed for its probability, so every candidate it may come from has to
    /// be reported.
    fn candidates(&self) -> usize {
        let sampling = &self.options.sampling;
        let choices = if sampling.temperature > 0.0 {
            match sampling.top_k {
                0 => MAX_CANDIDATES,
                count => count.min(MAX_CANDIDATES),
            }
        } else {
            1
        };
        choices.max(self.options.top_logprobs).max(2)
    }
}
