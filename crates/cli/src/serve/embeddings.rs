//! `/v1/embeddings`: texts as vectors.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::response::{IntoResponse, Response};
use nearside_engine::backend::TokenId;
use nearside_engine::{Engine, EngineError, Pooling, normalize};
use nearside_text::SpecialTokens;
use nearside_wire::{EmbeddingList, EmbeddingRequest, EmbeddingText, EncodingFormat, PoolingName, WireError};
use tokio::sync::oneshot::{Sender, channel};

use super::queue::{Queue, engine_gone, shutting_down};
use super::routes::error;

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
    pub(super) async fn answer(self, engine: &mut Engine, stopping: &AtomicBool) {
        let mut result = Vectors { vectors: Vec::with_capacity(self.texts.len()), tokens: 0 };
        for (index, text) in self.texts.iter().enumerate() {
            if self.reply.is_closed() {
                return;
            }
            let vector = if stopping.load(Ordering::SeqCst) {
                Err(shutting_down())
            } else {
                embed(engine, text, self.pooling).await.map_err(|error| refuse(index, &error))
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

async fn embed(engine: &mut Engine, text: &EmbeddingText, pooling: Pooling) -> Result<(Vec<f32>, usize), EngineError> {
    let encoded;
    let tokens: &[TokenId] = match text {
        EmbeddingText::Tokens(tokens) => tokens,
        EmbeddingText::Text(text) => {
            encoded = engine.tokenizer().encode(text, SpecialTokens { add: true, parse: false })?;
            &encoded
        }
    };
    let mut vector = engine.embed(tokens, pooling).await?;
    normalize(&mut vector);
    Ok((vector, tokens.len()))
}

fn refuse(index: usize, error: &EngineError) -> WireError {
    match error {
        EngineError::EmptyPrompt
        | EngineError::PromptTooLong { .. }
        | EngineError::TokenOutOfRange { .. }
        | EngineError::Text(_) => WireError::field(format!("input[{index}]"), format!("cannot be embedded: {error}")),
        other => WireError::Internal { problem: other.to_string() },
    }
}
