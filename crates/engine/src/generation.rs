//! An answer in the making.

use std::collections::VecDeque;

use nearside_text::StreamDecoder;

use crate::backend::{BackendError, MAX_CANDIDATES, SampleRule, Step, StepInput, StepOutput, TokenId, Want};
use crate::sampling::draw;
use crate::stops::{Passed, StopTexts};
use crate::{Engine, EngineError, Event, Finish, FinishReason, GenerateOptions, GeneratedToken, Session};

/// An answer in the making. Dropping it cancels it; the session keeps what is certain.
pub struct Generation<'a> {
    engine: &'a mut Engine,
    session: &'a mut Session,
    options: GenerateOptions,
    prompt: Vec<TokenId>,
    /// Prompt tokens that the session already held.
    reused: usize,
    /// Prompt tokens that the session holds or that are in flight.
    submitted: usize,
    /// Steps submitted that choose a token.
    sampling_steps: usize,
    flights: VecDeque<Flight>,
    /// The newest token; the next step that comes back has read it.
    newest: Option<TokenId>,
    decoder: StreamDecoder,
    stops: StopTexts,
    completion: usize,
    events: VecDeque<Event>,
    phase: Phase,
}

/// What a step in flight was for.
enum Flight {
    /// Reads so many prompt tokens and, if they are the last, chooses a token.
    Prompt { tokens: usize, samples: bool },
    /// Reads the token that the step before it chose, and chooses the next.
    Answer,
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
        check(&options)?;
        let reused = session.reuse(&prompt);
        Ok(Self {
            engine,
            session,
            stops: StopTexts::new(options.stop.clone()),
            options,
            reused,
            submitted: reused,
            prompt,
            sampling_steps: 0,
            flights: VecDeque::new(),
            newest: None,
            decoder: StreamDecoder::new(),
            completion: 0,
            events: VecDeque::new(),
            phase: Phase::Fresh,
        })
    }

    /// The model's tokenizer, for what is reported beside the text.
    pub fn tokenizer(&self) -> &nearside_text::Tokenizer {
        self.engine.tokenizer()
    }

    /// The next event; `None` after [`Event::Finished`] or an error. After an error in the middle the
    /// session is empty and can be used again.
    pub async fn next(&mut self) -> Result<Option<Event>, EngineError> {
        if let Some(event) = self.events.pop_front() {
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
            Ok(ended) => {
                self.phase = if ended { Phase::Ended } else { Phase::Running };
                Ok(self.events.pop_front())
            }
            Err(error) => {
                self.phase = Phase::Ended;
                self.session.tokens.clear();
                Err(error)
            }
        }
    }

    /// Keeps the device busy and takes one step's output. Says whether the answer has ended.
    async fn advance(&mut self, fresh: bool) -> Result<bool, EngineError> {
        if fresh {
            self.engine.pipeline.drain().await?;
        }
        let depth = self.engine.pipeline.executor.steps_in_flight();
        while self.flights.len() < depth && self.submit_next()? {}
        let output = self.engine.pipeline.collect().await?;
        let (Some(output), Some(flight)) = (output, self.flights.pop_front()) else {
            return Err(EngineError::Interrupted);
        };
        match flight {
            Flight::Prompt { tokens, samples } => {
                let start = self.session.tokens.len();
                self.session.tokens.extend_from_slice(&self.prompt[start..start + tokens]);
                self.events.push_back(Event::Prefill {
                    done: start + tokens - self.reused,
                    total: self.prompt.len() - self.reused,
                });
                if samples {
                    return self.take_token(&output);
                }
                if start + tokens == self.prompt.len() {
                    self.finish(FinishReason::Length);
                    return Ok(true);
                }
                Ok(false)
            }
            Flight::Answer => {
                self.session.tokens.extend(self.newest);
                self.take_token(&output)
            }
        }
    }

    /// Submits the next step, if there is one that may be needed.
    fn submit_next(&mut self) -> Result<bool, EngineError> {
        let cache = self.session.cache;
        let limits = self.engine.pipeline.executor.options();
        if self.submitted < self.prompt.len() {
            let position = self.submitted;
            let end = self.prompt.len().min(position + limits.batch);
            let samples = end == self.prompt.len() && self.options.max_tokens > 0;
            let rules = [self.rule(end)];
            let want = if samples { Want::Sample(&rules, self.candidates()) } else { Want::Nothing };
            self.engine.pipeline.submit(Step {
                cache,
                position,
                input: StepInput::Tokens(&self.prompt[position..end]),
                want,
            })?;
            self.flights.push_back(Flight::Prompt { tokens: end - position, samples });
            self.sampling_steps += usize::from(samples);
            self.submitted = end;
            return Ok(true);
        }
        // Every step that chooses is followed by one that reads what it chose, before anybody has looked
        // at it: when the answer turns out to end there, that one step was for nothing.
        if self.sampling_steps == 0 || self.sampling_steps >= self.options.max_tokens {
            return Ok(false);
        }
        let position = self.prompt.len() + self.sampling_steps - 1;
        if position >= limits.context {
            return Ok(false);
        }
        let want = Want::Sample(&[self.rule(position + 1)], self.candidates());
        self.engine.pipeline.submit(Step { cache, position, input: StepInput::Sampled, want })?;
        self.flights.push_back(Flight::Answer);
        self.sampling_steps += 1;
        Ok(true)
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

    fn take_token(&mut self, output: &StepOutput) -> Result<bool, EngineError> {
        let broken = |problem: &str| EngineError::Backend(BackendError::InvalidStep { problem: problem.to_owned() });
        let choice = output.choices.first().ok_or_else(|| broken("the step brought back no token"))?;
        let id = choice.token;
        if !self.options.ignore_end && self.engine.tokenizer().is_end(id) {
            self.finish(FinishReason::Stop);
            return Ok(true);
        }
        let chosen = choice
            .candidates
            .iter()
            .find(|candidate| candidate.token == id)
            .ok_or_else(|| broken("the chosen token is not among the candidates"))?;
        self.completion += 1;
        self.newest = Some(id);
        let piece = self.decoder.push(self.engine.tokenizer(), id);
        let (text, stopped) = match self.stops.push(&piece) {
            Passed::Text(text) => (text, false),
            Passed::Stopped(text) => (text, true),
        };
        let margin = match choice.candidates.as_slice() {
            [best, second, ..] => best.logit - second.logit,
            _ => f32::INFINITY,
        };
        self.events.push_back(Event::Token(GeneratedToken {
            id,
            text,
            log_probability: chosen.logit - choice.log_sum_exp,
            margin,
            top: choice
                .candidates
                .iter()
                .take(self.options.top_logprobs)
                .map(|candidate| (candidate.token, candidate.logit - choice.log_sum_exp))
                .collect(),
        }));
        let context = self.engine.info().context;
        if stopped {
            self.finish_with(FinishReason::Stop, String::new());
        } else if self.completion >= self.options.max_tokens {
            self.finish(FinishReason::Length);
        } else if self.prompt.len() + self.completion > context {
            self.finish(FinishReason::ContextFull);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn finish(&mut self, reason: FinishReason) {
        let rest = self.decoder.finish(self.engine.tokenizer());
        let (tail, reason) = match self.stops.push(&rest) {
            Passed::Text(text) => (text + &self.stops.finish(), reason),
            Passed::Stopped(text) => (text, FinishReason::Stop),
        };
        self.finish_with(reason, tail);
    }

    fn finish_with(&mut self, reason: FinishReason, text_tail: String) {
        self.events.push_back(Event::Finished(Finish {
            reason,
            prompt_tokens: self.prompt.len(),
            reused_tokens: self.reused,
            completion_tokens: self.completion,
            text_tail,
        }));
    }
}

fn check(options: &GenerateOptions) -> Result<(), EngineError> {
    let sampling = &options.sampling;
    let wrong = |option: &'static str, problem: &str| Err(EngineError::Option { option, problem: problem.to_owned() });
    if !sampling.temperature.is_finite() || sampling.temperature < 0.0 {
        return wrong("temperature", "it must be a number of at least 0");
    }
    if !(0.0..=1.0).contains(&sampling.top_p) {
        return wrong("top_p", "it must lie between 0 and 1");
    }
    if !(0.0..=1.0).contains(&sampling.min_p) {
        return wrong("min_p", "it must lie between 0 and 1");
    }
    if options.top_logprobs > MAX_CANDIDATES {
        return wrong("top_logprobs", &format!("at most {MAX_CANDIDATES}"));
    }
    if options.stop.iter().any(String::is_empty) {
        return wrong("stop", "an empty text would end every answer at once");
    }
    Ok(())
}
