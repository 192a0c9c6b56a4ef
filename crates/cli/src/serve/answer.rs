//! One chat request on the engine's thread: its answers one after the other, told as they come.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nearside_chat::{Conversations, Defaults, Plan, Speaker, refuse, token_logprob};
use nearside_engine::Session;
use nearside_wire::{ChatRequest, Delta, FinishReason, TokenLogprob, Usage, WireError};
use tokio::sync::mpsc::UnboundedSender;

use super::queue::{Habits, shutting_down};
use crate::arguments::fresh_seed;
use crate::failure::Failure;
use crate::generate::{Ending, Moment, Outcome, generate_on};
use crate::interrupt::Interrupt;
use crate::model::Opened;

/// What a generation tells the connection that waits for it. The channel has no bound of its own,
/// so that a client that reads slowly holds up nobody; the context bounds what can be in it.
pub(super) enum Reply {
    /// The request was accepted and its answers begin.
    Started,
    /// What a token adds to the message of one of the answers, and its probability where asked for.
    Part(usize, Vec<Delta>, Option<TokenLogprob>),
    /// The end of one of the answers.
    Ended(usize, FinishReason),
    /// The end.
    Finished(Usage),
    /// The end, in failure.
    Failed(WireError),
}

/// A request and who waits for its answers.
pub(super) struct ChatJob {
    pub(super) request: ChatRequest,
    /// The answer's id.
    pub(super) id: String,
    pub(super) replies: UnboundedSender<Reply>,
}

impl ChatJob {
    /// Answers, unless nobody waits any more.
    pub(super) async fn answer(
        self,
        opened: &mut Opened,
        habits: Habits,
        interrupt: &Interrupt,
        conversations: &mut Conversations,
        stopping: &AtomicBool,
    ) {
        if self.replies.is_closed() {
            return;
        }
        let result = if stopping.load(Ordering::SeqCst) {
            Err(shutting_down())
        } else {
            self.answer_all(opened, habits, interrupt, conversations, stopping).await
        };
        // Nobody may be there any more to hear it.
        let _ = self.replies.send(result.map_or_else(Reply::Failed, Reply::Finished));
    }

    async fn answer_all(
        &self,
        opened: &mut Opened,
        habits: Habits,
        interrupt: &Interrupt,
        conversations: &mut Conversations,
        stopping: &AtomicBool,
    ) -> Result<Usage, WireError> {
        let engine = &opened.engine;
        let defaults = Defaults {
            seed: fresh_seed(),
            max_tokens: engine.info().context,
            now: now(),
            slides: false,
            speculation: habits.speculation,
        };
        let plan = Plan::new(&self.request, engine, defaults)?;
        if conversations.is_empty() {
            // There may be no device any more to take the first one from.
            conversations.keep(opened.session(interrupt).await.map_err(refused)?);
        }
        let session = conversations.session(&mut opened.engine, plan.prompt()).map_err(refuse)?;
        let (mut written, mut reused, mut drafted, mut accepted) = (0, 0, 0, 0);
        // All answers have the session in turn: the prompt stays in it, so that only its last token is read again.
        for answer in 0..plan.answers() {
            let outcome = self.answer_once(opened, interrupt, session, &plan, answer, stopping).await?;
            if answer == 0 {
                reused = outcome.reused_tokens as u64;
            }
            written += outcome.tokens.len() as u64;
            drafted += outcome.drafted_tokens as u64;
            accepted += outcome.accepted_tokens as u64;
        }
        Ok(Usage::new(plan.prompt().len() as u64, written).cached(reused).foreseen(drafted, accepted))
    }

    /// Gives one of the answers.
    async fn answer_once(
        &self,
        opened: &mut Opened,
        interrupt: &Interrupt,
        session: &mut Session,
        plan: &Plan,
        answer: usize,
        stopping: &AtomicBool,
    ) -> Result<Outcome, WireError> {
        let mut speaker: Speaker = plan.speaker(&format!("{}_{answer}", self.id));
        let mut started = answer > 0;
        let mut tail = String::new();
        let outcome = generate_on(opened, interrupt, session, plan.prompt(), plan.options(answer), |moment| {
            if !std::mem::replace(&mut started, true) {
                let _ = self.replies.send(Reply::Started);
            }
            let mut gone = self.replies.is_closed();
            match moment {
                Moment::Prefill(..) | Moment::Slid(_) => {}
                Moment::Token(token, tokenizer) => {
                    let probability = plan.logprobs().then(|| token_logprob(tokenizer, token));
                    let deltas = speaker.push(&token.text);
                    if !deltas.is_empty() || probability.is_some() {
                        gone |= self.replies.send(Reply::Part(answer, deltas, probability)).is_err();
                    }
                }
                Moment::Tail(text) => text.clone_into(&mut tail),
            }
            Ok(if gone || stopping.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .await
        .map_err(|failure| match failure {
            Failure::Engine(error) => plan.refuse(error),
            other => refused(other),
        })?;

        let reason = match outcome.ending {
            Ending::Stop => nearside_engine::FinishReason::Stop,
            Ending::Length => nearside_engine::FinishReason::Length,
            Ending::ContextFull => nearside_engine::FinishReason::ContextFull,
            Ending::Interrupted => return Err(shutting_down()),
        };
        let (deltas, reason) = speaker.finish(&tail, reason);
        if !deltas.is_empty() {
            let _ = self.replies.send(Reply::Part(answer, deltas, None));
        }
        let _ = self.replies.send(Reply::Ended(answer, reason));
        Ok(outcome)
    }
}

fn refused(failure: Failure) -> WireError {
    match failure {
        Failure::Engine(error) => refuse(error),
        other => WireError::Internal { problem: other.to_string() },
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(since).unwrap_or(i64::MAX)
}
