//! Texts as vectors.

use std::ops::ControlFlow;

use js_sys::Function;
use nearside_engine::backend::{Backend, TokenId};
use nearside_engine::{EngineError, Pooling, normalize};
use nearside_text::SpecialTokens;
use nearside_wire::{EmbeddingList, EmbeddingRequest, EmbeddingText, EncodingFormat, PoolingName, WireError};
use wasm_bindgen::JsValue;

use crate::engine::Engine;
use crate::error::WebError;
use crate::host::Host;
use crate::javascript::{goes_on, to_json};
use crate::source::Source;

/// The vectors of a request, in `OpenAI`'s shape; each has length 1.
pub(crate) async fn embed(
    engine: &mut Engine,
    request: &JsValue,
    model: &str,
    go_on: &Function,
) -> Result<EmbeddingList, WebError> {
    let request = EmbeddingRequest::from_json(to_json("request", request)?.as_bytes())?;
    let pooling = match request.pooling.unwrap_or_default() {
        PoolingName::Mean => Pooling::Mean,
        PoolingName::Last => Pooling::Last,
    };
    let mut vectors = Vec::new();
    let mut count = 0;
    for (index, text) in request.texts().into_iter().enumerate() {
        let tokens = match text {
            EmbeddingText::Tokens(tokens) => tokens,
            EmbeddingText::Text(text) => engine
                .loaded
                .tokenizer()
                .encode(&text, SpecialTokens { add: true, parse: false })
                .map_err(|error| named(index, error.into()))?,
        };
        let mut vector = one(engine, &tokens, pooling).await.map_err(|error| match error {
            WebError::Engine(error) => named(index, error),
            other => other,
        })?;
        normalize(&mut vector);
        vectors.push(vector);
        count += tokens.len() as u64;
        if !goes_on(go_on, &JsValue::NULL).await? {
            return Err(WebError::Aborted);
        }
    }
    Ok(EmbeddingList::new(model, vectors, request.encoding_format.unwrap_or(EncodingFormat::Float), count))
}

/// One text's vector, from a device that takes the place of the one that was lost, if need be.
async fn one(engine: &mut Engine, tokens: &[TokenId], pooling: Pooling) -> Result<Vec<f32>, WebError> {
    let Engine { loaded, device, .. } = engine;
    loop {
        let error = match loaded.embed(tokens, pooling).await {
            Ok(vector) => return Ok(vector),
            Err(error) => error,
        };
        let recover = async |source: &Source, backend: &dyn Backend, host: &Host| {
            let mut report = |done, total| {
                host.tell_progress(done, total);
                ControlFlow::Continue(())
            };
            loaded.recover(source, backend, &mut report).await
        };
        device.revive(error, recover).await?;
        device.tell_restored(loaded.info());
    }
}

/// The same error, with the text that it is about.
fn named(index: usize, error: EngineError) -> WebError {
    match error {
        EngineError::EmptyPrompt
        | EngineError::PromptTooLong { .. }
        | EngineError::TokenOutOfRange { .. }
        | EngineError::Text(_) => {
            WireError::field(format!("input[{index}]"), format!("cannot be embedded: {error}")).into()
        }
        other => other.into(),
    }
}
