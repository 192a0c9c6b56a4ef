//! `/v1/embeddings`: texts as vectors.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::response::{IntoResponse, Response};
use nearside_engine::backend::TokenId;
use nearside_engine::{EngineError, Pooling, normalize};
use nearside_text::SpecialTokens;
use nearside_wire::{EmbeddingList, EmbeddingRequest, EmbeddingText, EncodingFormat, PoolingName, WireError};
use tokio::sync::oneshot::{Sender, channel};

use super::queue::{Queue, engine_gone, shutting_down};
use super::routes::error;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::model::{MOST_LOSSES, Opened};

/// A request for vectors on its way to the engine.
pub(super) struct EmbeddingJob {
    texts: Vec<EmbeddingText>,
    pooling: Pooling,
    reply: Sender<Result<Vectors, WireError>>,
}

/// One for each text, and the tokens of all texts.
struct Vectors {
    vectors: Vec<Vec<f32>>,
    tokens: u64,
}

/// The whole way from the request to its answer.
pub(super) async fn answer_embedding(queue: &Queue, model: &str, request: EmbeddingRequest) -> Response {
    let format = request.encoding_format.unwrap_or(EncodingFormat::Float);
    let pooling = match request.pooling.unwrap_or_default() {
        PoolingName::Mean => Pooling::Mean,
        PoolingName::Last => Pooling::Last,
    };
    let (reply, answer) = channel();
    if let Err(problem) = queue.submit_embedding(EmbeddingJob { texts: request.texts(), pooling, reply }) {
        return error(&problem);
    }
    match answer.await {
        Ok(Ok(Vectors { vectors, tokens })) => Json(EmbeddingList::new(model, vectors, format, tokens)).into_response(),
        Ok(Err(problem)) => error(&problem),
        Err(_) => error(&engine_gone()),
    }
}

impl EmbeddingJob {
    /// Runs on the engine's thread. A client that went away stops it after the text under way.
    pub(super) async fn answer(self, opened: &mut Opened, interrupt: &Interrupt, stopping: &AtomicBool) {
        let mut result = Vectors { vectors: Vec::with_capacity(self.texts.len()), tokens: 0 };
        for (index, text) in self.texts.iter().enumerate() {
            if self.reply.is_closed() {
                return;
            }
            let vector = if stopping.load(Ordering::SeqCst) {
                Err(shutting_down())
            } else {
                embed(opened, interrupt, text, self.pooling).await.map_err(|failure| refuse(index, &failure))
            };
            match vector {
                Ok((vector, tokens)) => {
                    result.vectors.push(vector);
                    result.tokens += tokens as u64;
                }
                Err(problem) => {
                    // Nobody may be there any more to hear it.
                    let _ = self.reply.send(Err(problem));
                    return;
                }
            }
        }
        let _ = self.reply.send(Ok(result));
    }
}

async fn embed(
    opened: &mut Opened,
    interrupt: &Interrupt,
    text: &EmbeddingText,
    pooling: Pooling,
) -> Result<(Vec<f32>, usize), Failure> {
    let Opened { engine, reload, .. } = opened;
    let encoded;
    let tokens: &[TokenId] = match text {
        EmbeddingText::Tokens(tokens) => tokens,
        EmbeddingText::Text(text) => {
            let special = SpecialTokens { add: true, parse: false };
            encoded = engine.tokenizer().encode(text, special).map_err(EngineError::from)?;
            &encoded
        }
    };
    let mut losses = 0;
    let mut vector = loop {
        match engine.embed(tokens, pooling).await {
            Ok(vector) => break vector,
            Err(error) if error.is_device_lost() && losses < MOST_LOSSES => {
                losses += 1;
                reload.engine(engine, interrupt).await?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    normalize(&mut vector);
    Ok((vector, tokens.len()))
}

fn refuse(index: usize, failure: &Failure) -> WireError {
    match failure {
        Failure::Engine(
            error @ (EngineError::EmptyPrompt
            | EngineError::PromptTooLong { .. }
            | EngineError::TokenOutOfRange { .. }
            | EngineError::Text(_)),
        ) => WireError::field(format!("input[{index}]"), format!("cannot be embedded: {error}")),
        other => WireError::Internal { problem: other.to_string() },
    }
}
