//! The engine on its own thread, and the queue before it: one generation at a time.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use nearside_chat::{Conversations, Limits};
use nearside_engine::{ModelInfo, Speculation};
use nearside_wire::{ChatRequest, WireError};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::answer::{ChatJob, Reply};
use super::embeddings::EmbeddingJob;
use crate::arguments::{CommonArguments, ModelArguments};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::model::{Opened, open};

enum Job {
    Chat(Box<ChatJob>),
    Embed(EmbeddingJob),
}

/// How all requests are answered.
#[derive(Clone, Copy)]
pub(super) struct Habits {
    pub(super) speculation: Speculation,
    pub(super) limits: Limits,
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
        habits: Habits,
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
                            answer_all(&mut opened, habits, &interrupt, &waiting, &stopping).await;
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
    pub(super) fn submit(&self, request: ChatRequest, id: String) -> Result<UnboundedReceiver<Reply>, WireError> {
        let (replies, receiver) = unbounded_channel();
        self.enqueue(Job::Chat(Box::new(ChatJob { request, id, replies })))?;
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

/// The engine's thread is about to end.
pub(super) fn shutting_down() -> WireError {
    WireError::Internal { problem: "it is shutting down; try again once it is back".to_owned() }
}

async fn answer_all(
    opened: &mut Opened,
    habits: Habits,
    interrupt: &Interrupt,
    waiting: &Receiver<Job>,
    stopping: &AtomicBool,
) {
    let mut conversations = Conversations::new(habits.limits);
    while let Ok(job) = waiting.recv() {
        match job {
            Job::Chat(job) => job.answer(opened, habits, interrupt, &mut conversations, stopping).await,
            Job::Embed(job) => job.answer(opened, interrupt, stopping).await,
        }
    }
}
