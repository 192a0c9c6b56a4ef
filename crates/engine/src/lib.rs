//! The model as a program.
//!
//! A file's architecture becomes a [`graph::Graph`], a flat list of operations over numbered activation
//! slots and named weights. A [`backend::Backend`] compiles it once into an [`backend::Executor`], which
//! then runs steps: tokens in, and out come the sampled token and the few best candidates, never the
//! whole of the logits. Sessions, sampling rules and the pipelining of steps live here, above the
//! backends, so that both behave alike.
//!
//! ```no_run
//! # use std::ops::ControlFlow;
//! # use nearside_engine::backend::Backend;
//! # use nearside_gguf::ByteSource;
//! # use nearside_engine::{Engine, EngineError, EngineOptions, Event, GenerateOptions};
//! async fn answer(bytes: &dyn ByteSource, backend: &dyn Backend, question: &str) -> Result<String, EngineError> {
//!     let mut progress = |_, _| ControlFlow::Continue(());
//!     let mut engine = Engine::load(bytes, backend, EngineOptions::default(), &mut progress).await?;
//!     let message = nearside_text::Message::new("user", question);
//!     let prompt = engine.chat_tokens(&[message])?;
//!     let mut session = engine.create_session()?;
//!     let mut answer = String::new();
//!     let mut generation = engine.generate(&mut session, &prompt, GenerateOptions::default())?;
//!     while let Some(event) = generation.next().await? {
//!         match event {
//!             Event::Prefill { .. } | Event::Slid { .. } => {}
//!             Event::Token(token) => answer.push_str(&token.text),
//!             Event::Finished(finish) => answer.push_str(&finish.text_tail),
//!         }
//!     }
//!     Ok(answer)
//! }
//! ```

mod adapters;
mod ahead;
pub mod architectures;
pub mod backend;
pub mod config;
mod constraints;
mod embedding;
mod error;
pub mod evaluation;
mod generation;
pub mod graph;
mod model;
mod options;
mod pipeline;
mod recovery;
pub mod sampling;
mod session;
mod stops;

pub use adapters::Adapter;
pub use ahead::{Begun, Outline};
pub use constraints::{Constraint, Thought};
pub use embedding::{Pooling, normalize};
pub use error::EngineError;
pub use generation::Generation;
pub use model::Engine;
pub use options::{
    ContextPolicy, EngineOptions, Event, Finish, FinishReason, GenerateOptions, GeneratedToken, ModelInfo, Sampling,
    Speculation,
};
pub use session::Session;
