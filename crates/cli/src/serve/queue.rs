//! The engine on its own thread, and the queue before it: one generation at a time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use nearside_engine::{Engine, EngineError, GenerateOptions, ModelInfo, Sampling, Session};
use nearside_text::Message;
use nearside_wire::{ChatRequest, FinishReason, TokenLogprob, Usage, WireError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::embeddings::EmbeddingJob;
use super::probabilities::token_logprob;
use crate::arguments::{CommonArguments, ModelArguments, fresh_seed};
use crate::failure::Failure;
use crate::generate::{Ending, Moment, generate};
use crate::interrupt::Interrupt;
use crate::model::open;

/// What a generation tells the connection that waits for it. The channel has no bound of its own,
/// so that a client that reads slowly holds up nobody; the context bounds what can be in it.
pub(super) enum Reply {
    /// The request was accepted and its answer begins.
    Started,
    /// A token: text that may be empty, and its probability where asked for.
    Token(String, Option<TokenLogprob>),
    /// The end.
    Finished(FinishReason, Usage),
    /// The end, in failure.
    Failed(WireError),
}

enum Job {
    Chat(Box<ChatJob>),
    Embed(EmbeddingJob),
}

struct ChatJob {
    request: ChatRequest,
    replies: UnboundedSender<Reply>,
}

/// What the engine's thread serves.
pub(super) struct Served {
    /// The model's name in the interface: its file's name without the ending.
    pub(super) id: String,
    /// What it is.
    pub(super) info: ModelInfo,
}

/// The way to the engine.
pub(super) struct Queue {
    jobs: SyncSender<Job>,
    capacity: usize,
}

impl Queue {
    /// Loads the model on a thread of its own and returns once it is ready. The thread ends with the queue.
    pub(super) fn start(
        model: &ModelArguments,
        common: CommonArguments,
        capacity: usize,
        interrupt: &Interrupt,
        stopping: Arc<AtomicBool>,
    ) -> Result<(Self, Served, JoinHandle<()>), Failure> {
        let (jobs, waiting) = sync_channel(capacity);
        let (ready, loaded) = sync_channel(1);
        let (model, interrupt) = (model.clone(), interrupt.clone());
        let id = model.model.file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned());
        let run = move || {
            pollster::block_on(async {
                match open(&model, common, &interrupt).await {
                    Ok(mut opened) => {
                        if ready.send(Ok(opened.engine.info().clone())).is_ok() {
                            answer_all(&mut opened.engine, &waiting, &stopping).await;
                        }
                    }
                    // The receiver waits until this arrives.
                    Err(failure) => {
                        let _ = ready.send(Err(failure));
                    }
                }
            });
        };
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(run).map_err(|error| {
            Failure::System { what: "starting the engine's thread".to_owned(), reason: error.to_string() }
        })?;
        let info = loaded.recv().map_err(|_| Failure::System {
            what: "loading the model".to_owned(),
            reason: "the engine's thread panicked".to_owned(),
        })??;
        Ok((Self { jobs, capacity }, Served { id, info }, thread))
    }

    /// Puts a request in line. Dropping the receiver takes it out again, or stops its generation.
    pub(super) fn submit(&self, request: ChatRequest) -> Result<UnboundedReceiver<Reply>, WireError> {
        let (replies, receiver) = unbounded_channel();
        self.enqueue(Job::Chat(Box::new(ChatJob { request, replies })))?;
        Ok(receiver)
    }

    /// Puts a request for vectors in line.
    pub(super) fn submit_embedding(&self, job: EmbeddingJob) -> Result<(), WireError> {
        self.enqueue(Job::Embed(job))
    }

    fn enqueue(&self, job: Job) -> Result<(), WireError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => WireError::Busy { active: self.capacity + 1 },
            TrySendError::Disconnected(_) => engine_gone(),
        })
    }
}

/// The engine's thread ended though the server did not.
pub(super) fn engine_gone() -> WireError {
    WireError::Internal { problem: "the engine has stopped; start the server again".to_owned() }
}

pub(super) fn shutting_down() -> WireError {
    WireError::Internal { problem: "it is shutting down; try again once it is back".to_owned() }
}

async fn answer_all(engine: &mut Engine, waiting: &Receiver<Job>, stopping: &AtomicBool) {
    // One session for all: a client's next turn usually finds its last one still there.
    let mut session = None;
    while let Ok(job) = waiting.recv() {
        let job = match job {
            Job::Chat(job) => job,
            Job::Embed(job) => {
                job.answer(engine, stopping).await;
                continue;
            }
        };
        if job.replies.is_closed() {
            continue;
        }
        let result = if stopping.load(Ordering::SeqCst) {
            Err(shutting_down())
        } else {
            answer(engine, &mut session, &job, stopping).await
        };
        let last = match result {
            Ok((reason, usage)) => Reply::Finished(reason, usage),
            Err(error) => Reply::Failed(error),
        };
        // Nobody may be there any more to hear it.
        let _ = job.replies.send(last);
    }
}

async fn answer(
    engine: &mut Engine,
    session: &mut Option<Session>,
    job: &ChatJob,
    stopping: &AtomicBool,
) -> Result<(FinishReason, Usage), WireError> {
    let request = &job.request;
    let messages: Vec<Message> =
        request.messages.iter().map(|message| Message::new(message.role.clone(), message.text())).collect();
    let prompt = engine.chat_tokens(&messages).map_err(refuse)?;
    let options = options(request, engine.info().context);
    let wants_probabilities = request.logprobs == Some(true);
    let session = match session {
        Some(session) => session,
        None => session.insert(engine.create_session().map_err(refuse)?),
    };

    let mut started = false;
    let outcome = generate(engine, session, &prompt, options, |moment| {
        if !std::mem::replace(&mut started, true) {
            let _ = job.replies.send(Reply::Started);
        }
        let reply = match moment {
            Moment::Prefill(..) | Moment::Slid(_) | Moment::Tail("") => None,
            Moment::Token(token, tokenizer) => {
                let probability = wants_probabilities.then(|| token_logprob(tokenizer, token));
                Some(Reply::Token(token.text.clone(), probability))
            }
            Moment::Tail(text) => Some(Reply::Token(text.to_owned(), None)),
        };
        let gone = reply.is_some_and(|reply| job.replies.send(reply).is_err()) || job.replies.is_closed();
        Ok(if gone || stopping.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .await
    .map_err(|failure| match failure {
        Failure::Engine(error) => refuse(error),
        other => WireError::Internal { problem: other.to_string() },
    })?;

    let reason = match outcome.ending {
        Ending::Stop => FinishReason::Stop,
        Ending::Length | Ending::ContextFull => FinishReason::Length,
        Ending::Interrupted => return Err(shutting_down()),
    };
    Ok((reason, Usage::new(outcome.prompt_tokens as u64, outcome.tokens.len() as u64)))
}

fn options(request: &ChatRequest, context: usize) -> GenerateOptions {
    let default = Sampling::default();
    let sampling = Sampling {
        temperature: request.temperature.map_or(default.temperature, |value| value as f32),
        top_k: request.top_k.map_or(default.top_k, |value| usize::try_from(value).unwrap_or(default.top_k)),
        top_p: request.top_p.map_or(default.top_p, |value| value as f32),
        min_p: request.min_p.map_or(default.min_p, |value| value as f32),
        seed: request.seed.map_or_else(fresh_seed, i64::cast_unsigned),
        ..default
    };
    GenerateOptions {
        sampling,
        max_tokens: request.token_limit().unwrap_or(context),
        stop: request.stop_strings(),
        top_logprobs: request.top_logprobs.and_then(|count| usize::try_from(count).ok()).unwrap_or(0),
        ..GenerateOptions::default()
    }
}

/// Whose fault an engine's error is, in the one error shape.
fn refuse(error: EngineError) -> WireError {
    match error {
        EngineError::PromptTooLong { tokens, context } => WireError::ContextExceeded { tokens, context },
        EngineError::Option { option, problem } => WireError::field(option, problem),
        EngineError::EmptyPrompt | EngineError::Text(_) => {
            WireError::field("messages", format!("cannot be laid out for this model: {error}"))
        }
        other => WireError::Internal { problem: other.to_string() },
    }
}
