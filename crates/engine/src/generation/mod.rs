//! An answer in the making.
//!
//! How steps follow one another is a [`Stepping`]; what all of them share is the [`Core`].

mod answer;
mod check;
mod held;
mod penalties;
mod pipelined;
pub(crate) mod speculation;
mod window;

use nearside_gguf::ByteSource;

use self::answer::Answer;
use self::held::Held;
use self::penalties::Penalties;
use self::pipelined::Pipelined;
use self::speculation::Speculating;
use self::window::Window;
use crate::backend::{Backend, CacheId, Choice, LoadProgress, MAX_CANDIDATES, SampleRule, TokenId};
use crate::sampling::draw;
use crate::session::Entry;
use crate::{
    ContextPolicy, Engine, EngineError, Event, FinishReason, GenerateOptions, ModelInfo, Session, Speculation,
};

/// An answer in the making. Dropping it cancels it; the session keeps what is certain.
pub struct Generation<'a> {
    core: Core<'a>,
    way: Way,
    phase: Phase,
    /// What went wrong, until the events before it are told.
    failure: Option<EngineError>,
}

/// A way of stepping.
trait Stepping {
    /// Starts anew: the text is to be read from `reused` on before tokens are chosen, and nothing is in flight.
    fn begin(&mut self, reused: usize);

    /// Keeps the device busy and takes what comes back next.
    async fn advance(&mut self, core: &mut Core<'_>) -> Result<Next, EngineError>;
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Another one.
    Step,
    /// Nothing: the answer is complete.
    End,
    /// The context is full: the text is to be shortened and read again.
    Shorten,
}

/// The ways of stepping there are.
enum Way {
    Pipelined(Pipelined),
    Held(Box<Held>),
    Speculating(Speculating),
}

/// What every way of stepping works on.
struct Core<'a> {
    engine: &'a mut Engine,
    session: &'a mut Session,
    cache: CacheId,
    options: GenerateOptions,
    /// The whole conversation, answer included.
    known: Vec<TokenId>,
    /// How much of that is the prompt.
    prompt: usize,
    /// What of it the model sees: what its cache holds or is to hold.
    text: Vec<TokenId>,
    /// The text has to be read up to here before tokens are chosen.
    start: usize,
    /// Tokens of the conversation that are not in the text.
    dropped: usize,
    answer: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Steps of an earlier generation may still be in flight.
    Fresh,
    Running,
    /// The future of `next` is being polled, or was dropped before it was done.
    Waiting,
    /// The device is gone.
    Lost,
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
        window::check(options.when_full, engine.info().context)?;
        if options.speculation == Speculation::Draft && engine.draft.is_none() {
            let problem = "no model is attached that could draft; attach one to the engine".to_owned();
            return Err(EngineError::Option { option: "speculation", problem });
        }
        // Without penalties and constraint nothing has to be known of a token before the next step starts.
        let thought = options.thought.as_ref();
        let matcher = options.constraint.as_ref().map(|constraint| engine.matcher(constraint, thought)).transpose()?;
        let held = (matcher.is_some() || Penalties::wanted(&options))
            .then(|| Box::new(Held::new(matcher, Penalties::new(&options))));
        let way = match (held, options.speculation) {
            (Some(held), _) => Way::Held(held),
            (None, Speculation::None) => Way::Pipelined(Pipelined::new(0)),
            (None, source) => Way::Speculating(Speculating::new(source)),
        };
        let core = Core {
            cache: CacheId(0),
            answer: Answer::new(&options, engine.tokenizer(), prompt.len()),
            engine,
            session,
            options,
            prompt: prompt.len(),
            known: prompt,
            text: Vec::new(),
            start: 0,
            dropped: 0,
        };
        let mut generation = Self { core, way, phase: Phase::Fresh, failure: None };
        match generation.begin() {
            Ok(phase) => generation.phase = phase,
            // What was lost since the answer before is recovered from as what is lost under this one.
            Err(error) if error.is_device_lost() => generation.fail(error),
            Err(error) => return Err(error),
        }
        Ok(generation)
    }

    /// Has the next call of `next` tell what went wrong, after the events before it.
    fn fail(&mut self, error: EngineError) {
        self.phase = if error.is_device_lost() { Phase::Lost } else { Phase::Ended };
        self.core.engine.distrust(self.core.session);
        self.failure = Some(error);
    }

    /// The model's tokenizer, for what is reported beside the text.
    pub fn tokenizer(&self) -> &nearside_text::Tokenizer {
        self.core.engine.tokenizer()
    }

    /// What is loaded, and on what: after a recovery that may be another backend.
    pub fn info(&self) -> &ModelInfo {
        self.core.engine.info()
    }

    /// The next event; `None` after [`Event::Finished`] or an error. After an error in the middle the
    /// session's cache counts for nothing and the session can be used again; after the error of a lost device the
    /// answer itself can go on, see [`Self::recover`].
    pub async fn next(&mut self) -> Result<Option<Event>, EngineError> {
        loop {
            if let Some(event) = self.core.answer.next_event() {
                return Ok(Some(event));
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let fresh = match self.phase {
                Phase::Ended | Phase::Lost => return Ok(None),
                Phase::Waiting => {
                    self.phase = Phase::Ended;
                    return Err(EngineError::Interrupted);
                }
                Phase::Fresh => true,
                Phase::Running => false,
            };
            self.phase = Phase::Waiting;
            match self.advance(fresh).await {
                Ok(phase) => self.phase = phase,
                Err(error) => self.fail(error),
            }
        }
    }

    /// Loads the model again after its device was lost, as [`Engine::recover`] does, and goes on: the next events are
    /// those that would have come, after the ones of reading the conversation again.
    pub async fn recover<'b>(
        &'b mut self,
        bytes: &'b dyn ByteSource,
        backend: &'b dyn Backend,
        progress: &'b mut LoadProgress<'b>,
    ) -> Result<(), EngineError> {
        self.core.engine.recover(bytes, backend, progress).await?;
        self.failure = None;
        if matches!(self.phase, Phase::Lost | Phase::Fresh | Phase::Running) {
            self.phase = self.begin()?;
        }
        Ok(())
    }

    async fn advance(&mut self, fresh: bool) -> Result<Phase, EngineError> {
        if fresh {
            self.core.engine.pipeline.drain().await?;
        }
        let next = match &mut self.way {
            Way::Pipelined(way) => way.advance(&mut self.core).await?,
            Way::Held(way) => way.advance(&mut self.core).await?,
            Way::Speculating(way) => way.advance(&mut self.core).await?,
        };
        match next {
            Next::Step => Ok(Phase::Running),
            Next::End => Ok(Phase::Ended),
            Next::Shorten => self.begin(),
        }
    }

    fn begin(&mut self) -> Result<Phase, EngineError> {
        let Some(reused) = self.core.begin()? else { return Ok(Phase::Ended) };
        match &mut self.way {
            Way::Pipelined(way) => way.begin(reused),
            Way::Held(way) => way.begin(reused),
            Way::Speculating(way) => way.begin(reused),
        }
        Ok(Phase::Fresh)
    }
}

impl Core<'_> {
    /// Decides what of the conversation the model sees, and how much of that its cache holds already. Without an
    /// answer to that the conversation does not fit, and the caller is told so.
    fn begin(&mut self) -> Result<Option<usize>, EngineError> {
        let context = self.engine.info().context;
        let window = Window::of(&self.known, context, self.options.when_full, self.engine.tokenizer());
        self.text = window.of_text(&self.known);
        if self.text.len() > context {
            self.finish(FinishReason::ContextFull);
            return Ok(None);
        }
        self.start = self.text.len();
        self.dropped = window.dropped();
        let Entry { cache, reused } = self.engine.enter(self.session, &self.text)?;
        self.cache = cache;
        self.answer.begin(reused, self.start, self.dropped);
        Ok(Some(reused))
    }

    /// So many more of the text's tokens are in the cache.
    fn read(&mut self, count: usize) {
        let start = self.engine.cached(self.session);
        let end = start + count;
        self.engine.extend(self.session, &self.text[start..end]);
        if start < self.start {
            self.answer.read(self.start.min(end));
        }
    }

    /// The answer's next token; a `complete` answer ends with it.
    fn take(&mut self, choice: &Choice, complete: bool) -> Result<Next, EngineError> {
        let ended = self.answer.take(choice, complete, self.engine.tokenizer())?;
        Ok(if ended { Next::End } else { self.append(choice.token) })
    }

    /// The answer's next token, which nothing else could stand for; a `complete` answer ends with it.
    fn force(&mut self, token: TokenId, complete: bool) -> Next {
        let ended = self.answer.force(token, complete, self.engine.tokenizer());
        if ended { Next::End } else { self.append(token) }
    }

    fn append(&mut self, token: TokenId) -> Next {
        self.known.push(token);
        self.text.push(token);
        if self.text.len() <= self.engine.info().context {
            return Next::Step;
        }
        match self.options.when_full {
            ContextPolicy::Stop => self.finish(FinishReason::ContextFull),
            ContextPolicy::Slide { .. } => Next::Shorten,
        }
    }

    fn finish(&mut self, reason: FinishReason) -> Next {
        self.answer.finish(reason, self.engine.tokenizer());
        Next::End
    }

    /// How many more tokens the answer may have.
    fn wanted(&self) -> usize {
        self.options.max_tokens.saturating_sub(self.answer.tokens())
    }

    /// How the token at `position` of the text is chosen. The draw is that of its position in the conversation, so
    /// that neither a shortened text nor a new start changes it.
    fn rule(&self, position: usize) -> SampleRule {
        let sampling = &self.options.sampling;
        SampleRule {
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            draw: draw(sampling.seed, position + self.dropped),
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
