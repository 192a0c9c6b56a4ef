//! Foresight by a smaller model of the same family.

use crate::backend::{SampleRule, Step, StepInput, TokenId, Want};
use crate::session::Entry;
use crate::{Engine, EngineError, Session};

/// A smaller model and its own view of the conversation.
pub(crate) struct Draft {
    engine: Box<Engine>,
    session: Session,
}

impl Engine {
    /// Lets a smaller model with the same vocabulary foresee tokens for [`crate::Speculation::Draft`]. One that was
    /// attached before goes.
    pub fn attach_draft(&mut self, mut draft: Engine) -> Result<(), EngineError> {
        let (ours, theirs) = (self.tokenizer(), draft.tokenizer());
        if ours.size() != theirs.size() {
            return Err(refused(&format!("it has {} tokens, and this model has {}", theirs.size(), ours.size())));
        }
        let differs = |token: &TokenId| {
            ours.decode(&[*token]) != theirs.decode(&[*token]) || ours.is_end(*token) != theirs.is_end(*token)
        };
        if let Some(token) = (0..ours.size() as TokenId).find(differs) {
            return Err(refused(&format!("its token {token} is not the one that this model has")));
        }
        let session = draft.create_session()?;
        self.draft = Some(Draft { engine: Box::new(draft), session });
        Ok(())
    }

    /// Gives the smaller model's room back.
    pub fn detach_draft(&mut self) {
        self.draft = None;
    }
}

fn refused(problem: &str) -> EngineError {
    EngineError::Draft { problem: problem.to_owned() }
}

impl Draft {
    /// As many tokens as there are rules, each chosen as the large model would choose it: with the same draw the two
    /// agree more often than by their best tokens alone.
    pub(super) async fn foresee(
        &mut self,
        text: &[TokenId],
        rules: &[SampleRule],
    ) -> Result<Vec<TokenId>, EngineError> {
        let limits = self.engine.pipeline.executor.options();
        if text.len() + rules.len() > limits.context {
            return Ok(Vec::new());
        }
        self.engine.pipeline.drain().await?;
        let Entry { cache, reused } = self.engine.enter(&self.session, text)?;
        let result = self.run(text, rules, cache, reused).await;
        match &result {
            Ok(tokens) => {
                self.engine.extend(&self.session, &text[reused..]);
                // The last one was chosen and not read.
                self.engine.extend(&self.session, tokens.split_last().map_or(&[], |(_, read)| read));
            }
            Err(_) => self.engine.distrust(&self.session),
        }
        result
    }

    async fn run(
        &mut self,
        text: &[TokenId],
        rules: &[SampleRule],
        cache: crate::backend::CacheId,
        reused: usize,
    ) -> Result<Vec<TokenId>, EngineError> {
        let pipeline = &mut self.engine.pipeline;
        let limits = pipeline.executor.options();
        let depth = pipeline.executor.steps_in_flight().max(1);
        let mut tokens = Vec::with_capacity(rules.len());
        let mut position = reused;
        let mut submitted = 0;
        let mut in_flight = 0;
        while tokens.len() < rules.len() {
            while in_flight < depth && submitted < rules.len() {
                let rule = std::slice::from_ref(&rules[submitted]);
                let (input, read, want) = if position < text.len() {
                    let end = text.len().min(position + limits.batch);
                    let want = if end == text.len() { Want::Sample(rule, 2) } else { Want::Nothing };
                    (StepInput::Tokens(&text[position..end]), end - position, want)
                } else {
                    (StepInput::Sampled, 1, Want::Sample(rule, 2))
                };
                pipeline.submit(Step { cache, position, input, want })?;
                position += read;
                submitted += usize::from(want != Want::Nothing);
                in_flight += 1;
            }
            let output = pipeline.collect().await?.ok_or(EngineError::Interrupted)?;
            in_flight -= 1;
            tokens.extend(output.choices.first().map(|choice| choice.token));
        }
        Ok(tokens)
    }
}
