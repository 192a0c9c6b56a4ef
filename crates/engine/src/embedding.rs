//! Texts as vectors, from any model.

use crate::backend::{CacheId, Step, StepInput, TokenId, Want};
use crate::{Engine, EngineError};

/// How the hidden states of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// The last token's, which has seen all others.
    Last,
}

impl Engine {
    /// A text's vector: the final hidden states of its tokens, pooled, and as long as it comes. [`normalize`] gives
    /// it length 1.
    pub async fn embed(&mut self, tokens: &[TokenId], pooling: Pooling) -> Result<Vec<f32>, EngineError> {
        self.check_tokens(tokens)?;
        self.pipeline.drain().await?;
        // One that was broken off halfway could not give its room back.
        self.drop_embedding_cache();
        let cache = self.pipeline.executor.create_cache()?;
        self.embedding_cache = Some(cache);
        let result = self.pool(cache, tokens, pooling).await;
        self.drop_embedding_cache();
        result
    }

    fn drop_embedding_cache(&mut self) {
        if let Some(cache) = self.embedding_cache.take() {
            self.pipeline.executor.drop_cache(cache);
        }
    }

    async fn pool(&mut self, cache: CacheId, tokens: &[TokenId], pooling: Pooling) -> Result<Vec<f32>, EngineError> {
        let width = self.graph.slots[self.graph.hidden.0];
        let batch = self.pipeline.executor.options().batch;
        let mut sums = vec![0f64; width];
        let mut position = 0;
        while position < tokens.len() {
            let end = tokens.len().min(position + batch);
            let last = end == tokens.len();
            let want = if last || pooling == Pooling::Mean { Want::Hidden } else { Want::Nothing };
            let input = StepInput::Tokens(&tokens[position..end]);
            self.pipeline.submit(Step { cache, position, input, want })?;
            let hidden = self.pipeline.collect().await?.unwrap_or_default().hidden;
            let rows = hidden.chunks_exact(width);
            let skipped = if pooling == Pooling::Last { rows.len().saturating_sub(1) } else { 0 };
            for row in rows.skip(skipped) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            position = end;
        }
        let count = if pooling == Pooling::Mean { tokens.len() } else { 1 };
        Ok(sums.iter().map(|sum| (sum / count as f64) as f32).collect())
    }
}

/// The same direction with length 1; a vector without length stays as it is.
pub fn normalize(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    if square > 0.0 && square.is_finite() {
        let factor = 1.0 / square.sqrt();
        for value in vector {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
}
