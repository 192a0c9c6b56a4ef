//! One generation from start to end, timed, and stopped by Ctrl-C within a token.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use nearside_engine::backend::TokenId;
use nearside_engine::{Engine, Event, FinishReason, GenerateOptions, GeneratedToken, Session};
use nearside_text::Tokenizer;
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::model::{MOST_LOSSES, Opened, Reload};

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// The model said so, or a stop text came.
    Stop,
    /// As many tokens as were asked for.
    Length,
    /// No room left.
    ContextFull,
    /// The user said so.
    Interrupted,
}

/// What came out of a generation, and when.
pub(crate) struct Outcome {
    /// The whole text.
    pub(crate) text: String,
    /// The tokens, in order.
    pub(crate) tokens: Vec<TokenId>,
    /// Why it ended.
    pub(crate) ending: Ending,
    /// Length of the prompt.
    pub(crate) prompt_tokens: usize,
    /// How much of it the session already held.
    pub(crate) reused_tokens: usize,
    /// How much of the conversation the model no longer saw at the end.
    pub(crate) dropped_tokens: usize,
    /// Tokens that speculation foresaw.
    pub(crate) drafted_tokens: usize,
    /// Those of them that were right.
    pub(crate) accepted_tokens: usize,
    /// From the start to the first token.
    pub(crate) first_token: Option<Duration>,
    /// From the first token to the last.
    pub(crate) decode: Duration,
    /// From the start to the end.
    pub(crate) total: Duration,
}

/// What a generation is doing.
pub(crate) enum Moment<'a> {
    /// The prompt goes in: so many tokens of so many.
    Prefill(usize, usize),
    /// The conversation outgrew the context: so many of its tokens are no longer seen.
    Slid(usize),
    /// A token came, with the vocabulary that spells it.
    Token(&'a GeneratedToken, &'a Tokenizer),
    /// Text that was held back until the end was sure.
    Tail(&'a str),
}

/// Runs a generation to its end, or until `watch` breaks it off.
pub(crate) async fn generate(
    engine: &mut Engine,
    session: &mut Session,
    prompt: &[TokenId],
    options: GenerateOptions,
    watch: impl FnMut(Moment<'_>) -> Result<ControlFlow<()>, Failure>,
) -> Result<Outcome, Failure> {
    run(engine, None, session, prompt, options, watch).await
}

/// The same, and a device that is lost meanwhile is survived.
pub(crate) async fn generate_on(
    opened: &mut Opened,
    interrupt: &Interrupt,
    session: &mut Session,
    prompt: &[TokenId],
    options: GenerateOptions,
    watch: impl FnMut(Moment<'_>) -> Result<ControlFlow<()>, Failure>,
) -> Result<Outcome, Failure> {
    run(&mut opened.engine, Some((&opened.reload, interrupt)), session, prompt, options, watch).await
}

async fn run(
    engine: &mut Engine,
    reload: Option<(&Reload, &Interrupt)>,
    session: &mut Session,
    prompt: &[TokenId],
    options: GenerateOptions,
    mut watch: impl FnMut(Moment<'_>) -> Result<ControlFlow<()>, Failure>,
) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let mut outcome = Outcome {
        text: String::new(),
        tokens: Vec::new(),
        ending: Ending::Interrupted,
        prompt_tokens: prompt.len(),
        reused_tokens: 0,
        dropped_tokens: 0,
        drafted_tokens: 0,
        accepted_tokens: 0,
        first_token: None,
        decode: Duration::ZERO,
        total: Duration::ZERO,
    };
    let mut losses = 0;
    let mut generation = engine.generate(session, prompt, options)?;
    loop {
        let event = match (generation.next().await, reload) {
            (Ok(Some(event)), _) => event,
            (Ok(None), _) => break,
            (Err(error), Some((reload, interrupt))) if error.is_device_lost() && losses < MOST_LOSSES => {
                losses += 1;
                reload.under(&mut generation, interrupt).await?;
                continue;
            }
            (Err(error), _) => return Err(error.into()),
        };
        let flow = match event {
            Event::Prefill { done, total } => watch(Moment::Prefill(done, total))?,
            Event::Slid { dropped } => {
                outcome.dropped_tokens = dropped;
                watch(Moment::Slid(dropped))?
            }
            Event::Token(token) => {
                let first = *outcome.first_token.get_or_insert_with(|| started.elapsed());
                outcome.decode = started.elapsed().saturating_sub(first);
                outcome.tokens.push(token.id);
                outcome.text.push_str(&token.text);
                watch(Moment::Token(&token, generation.tokenizer()))?
            }
            Event::Finished(finish) => {
                outcome.ending = match finish.reason {
                    FinishReason::Stop => Ending::Stop,
                    FinishReason::Length => Ending::Length,
                    FinishReason::ContextFull => Ending::ContextFull,
                };
                outcome.reused_tokens = finish.reused_tokens;
                outcome.drafted_tokens = finish.drafted_tokens;
                outcome.accepted_tokens = finish.accepted_tokens;
                outcome.text.push_str(&finish.text_tail);
                let _: ControlFlow<()> = watch(Moment::Tail(&finish.text_tail))?;
                ControlFlow::Break(())
            }
        };
        if flow.is_break() {
            break;
        }
    }
    outcome.total = started.elapsed();
    Ok(outcome)
}

/// A generation's times, for people and programs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Timings {
    load_ms: f64,
    first_token_ms: Option<f64>,
    prefill_tokens_per_second: Option<f64>,
    decode_tokens_per_second: Option<f64>,
    total_ms: f64,
}

impl Timings {
    /// The outcome's times, rounded to what a clock can tell.
    pub(crate) fn new(load: Duration, outcome: &Outcome) -> Self {
        let prefilled = outcome.prompt_tokens.saturating_sub(outcome.reused_tokens);
        Self {
            load_ms: milliseconds(load),
            first_token_ms: outcome.first_token.map(milliseconds),
            prefill_tokens_per_second: outcome.first_token.and_then(|time| rate(prefilled, time)),
            decode_tokens_per_second: rate(outcome.tokens.len().saturating_sub(1), outcome.decode),
            total_ms: milliseconds(outcome.total),
        }
    }
}

/// How many in a second; unknown where nothing happened.
pub(crate) fn rate(count: usize, time: Duration) -> Option<f64> {
    (count > 0 && !time.is_zero()).then(|| (count as f64 / time.as_secs_f64() * 100.0).round() / 100.0)
}

/// With microseconds.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
