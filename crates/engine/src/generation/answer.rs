//! What an answer has become so far, and what its caller is told of it.

use std::collections::VecDeque;

use nearside_text::{StreamDecoder, Tokenizer};

use crate::backend::{BackendError, Choice, TokenId};
use crate::stops::{Passed, StopTexts};
use crate::{EngineError, Event, Finish, FinishReason, GenerateOptions, GeneratedToken};

/// The answer on its way from tokens to events.
pub(super) struct Answer {
    decoder: StreamDecoder,
    stops: StopTexts,
    /// How far the prompt is.
    progress: VecDeque<Event>,
    events: VecDeque<Event>,
    /// Whether the tokens may be told: the prompt is read, or the answer is over.
    told: bool,
    /// Length of the prompt.
    prompt: usize,
    /// Prompt tokens that the session already held.
    reused: Option<usize>,
    /// Where in the text the reading began that has to be done before tokens are chosen, and where it ends.
    reading: (usize, usize),
    /// Tokens so far.
    tokens: usize,
    /// Tokens of the conversation that the model no longer sees.
    dropped: usize,
    drafted: usize,
    accepted: usize,
    top: usize,
    most: usize,
    ignore_end: bool,
}

impl Answer {
    /// An answer without tokens yet.
    pub(super) fn new(options: &GenerateOptions, tokenizer: &Tokenizer, prompt: usize) -> Self {
        Self {
            decoder: StreamDecoder::showing(tokenizer, &options.shown_marks),
            stops: StopTexts::new(options.stop.clone()),
            progress: VecDeque::new(),
            events: VecDeque::new(),
            told: false,
            prompt,
            reused: None,
            reading: (0, 0),
            tokens: 0,
            dropped: 0,
            drafted: 0,
            accepted: 0,
            top: options.top_logprobs,
            most: options.max_tokens,
            // Behind the end of what a constraint allows there is nothing to write.
            ignore_end: options.ignore_end && options.constraint.is_none(),
        }
    }

    /// The next event that the caller was not told yet.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.progress.pop_front().or_else(|| if self.told { self.events.pop_front() } else { None })
    }

    /// How many tokens there are so far.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// A text of so many tokens has to be read from here on, and so many of the conversation are not in it.
    pub(super) fn begin(&mut self, reused: usize, length: usize, dropped: usize) {
        self.reused.get_or_insert(reused);
        self.reading = (reused, length);
        if dropped > self.dropped {
            self.dropped = dropped;
            let event = Event::Slid { dropped };
            if self.tokens == 0 { self.progress.push_back(event) } else { self.events.push_back(event) }
        }
    }

    /// So many tokens of that text are in the cache.
    pub(super) fn read(&mut self, length: usize) {
        let (start, end) = self.reading;
        if length > end {
            return;
        }
        self.progress.push_back(Event::Prefill { done: length - start, total: end - start });
        self.told |= length == end;
    }

    /// So many tokens were foreseen, and so many of them rightly.
    pub(super) fn foresaw(&mut self, drafted: usize, accepted: usize) {
        self.drafted += drafted;
        self.accepted += accepted;
    }

    /// Whether this token would end the answer.
    pub(super) fn ends_with(&self, token: TokenId, tokenizer: &Tokenizer) -> bool {
        !self.ignore_end && tokenizer.is_end(token)
    }

    /// Takes the next token; a `complete` answer ends with it. Says whether the answer has ended.
    pub(super) fn take(&mut self, choice: &Choice, complete: bool, tokenizer: &Tokenizer) -> Result<bool, EngineError> {
        let id = choice.token;
        if self.ends_with(id, tokenizer) {
            self.finish(FinishReason::Stop, tokenizer);
            return Ok(true);
        }
        let chosen = choice
            .candidates
            .iter()
            .find(|candidate| candidate.token == id)
            .ok_or_else(|| broken("the chosen token is not among the candidates"))?;
        let margin = match choice.candidates.as_slice() {
            [best, second, ..] => best.logit - second.logit,
            _ => f32::INFINITY,
        };
        // What was not allowed is no candidate.
        let candidates = choice.candidates.iter().take(self.top).filter(|candidate| candidate.logit.is_finite());
        let top = candidates.map(|candidate| (candidate.token, candidate.logit - choice.log_sum_exp)).collect();
        let log_probability = chosen.logit - choice.log_sum_exp;
        let token = GeneratedToken { id, text: String::new(), log_probability, margin, top };
        Ok(self.write(token, complete, tokenizer))
    }

    /// Writes a token that nothing else could stand for; a `complete` answer ends with it. Says whether the answer
    /// has ended.
    pub(super) fn force(&mut self, id: TokenId, complete: bool, tokenizer: &Tokenizer) -> bool {
        let top = if self.top > 0 { vec![(id, 0.0)] } else { Vec::new() };
        let token = GeneratedToken { id, text: String::new(), log_probability: 0.0, margin: f32::INFINITY, top };
        self.write(token, complete, tokenizer)
    }

    /// Gives the token its text and tells the caller. Says whether the answer has ended.
    fn write(&mut self, mut token: GeneratedToken, complete: bool, tokenizer: &Tokenizer) -> bool {
        self.tokens += 1;
        let piece = self.decoder.push(tokenizer, token.id);
        let stopped = match self.stops.push(&piece) {
            Passed::Text(text) => {
                token.text = text;
                false
            }
            Passed::Stopped(text) => {
                token.text = text;
                true
            }
        };
        self.events.push_back(Event::Token(token));
        if stopped {
            self.finish_with(FinishReason::Stop, String::new());
        } else if complete {
            self.finish(FinishReason::Stop, tokenizer);
        } else if self.tokens >= self.most {
            self.finish(FinishReason::Length, tokenizer);
        } else {
            return false;
        }
        true
    }

    /// Ends the answer.
    pub(super) fn finish(&mut self, reason: FinishReason, tokenizer: &Tokenizer) {
        let rest = self.decoder.finish(tokenizer);
        let (tail, reason) = match self.stops.push(&rest) {
            Passed::Text(text) => (text + &self.stops.finish(), reason),
            Passed::Stopped(text) => (text, FinishReason::Stop),
        };
        self.finish_with(reason, tail);
    }

    fn finish_with(&mut self, reason: FinishReason, text_tail: String) {
        self.told = true;
        self.events.push_back(Event::Finished(Finish {
            reason,
            prompt_tokens: self.prompt,
            reused_tokens: self.reused.unwrap_or(0),
            completion_tokens: self.tokens,
            dropped_tokens: self.dropped,
            drafted_tokens: self.drafted,
            accepted_tokens: self.accepted,
            text_tail,
        }));
    }
}

/// A backend that does not keep to the contract.
pub(super) fn broken(problem: &str) -> EngineError {
    EngineError::Backend(BackendError::InvalidStep { problem: problem.to_owned() })
}
