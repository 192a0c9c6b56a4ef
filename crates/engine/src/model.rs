//! A loaded model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nearside_gguf::{ByteSource, DataType, Gguf};
use nearside_text::{ChatTemplate, Conversation, Message, SpecialTokens, Tokenizer};

use crate::backend::{
    Backend, Counters, ExecutorOptions, LoadProgress, MAX_CHOICES, Step, StepInput, TokenId, Want, WeightFile,
};
use crate::constraints::{Grammars, Matcher};
use crate::pipeline::Pipeline;
use crate::{Constraint, EngineError, EngineOptions, GenerateOptions, Generation, ModelInfo, Session};

/// Sessions are longer than this only on request: a cache grows with every position it may hold.
const DEFAULT_CONTEXT: usize = 4096;
const DEFAULT_BATCH: usize = 256;

/// A loaded model: tokenizer, chat template and executor.
pub struct Engine {
    /// Tells its sessions from those of other engines.
    number: u64,
    pub(crate) pipeline: Pipeline,
    tokenizer: Arc<Tokenizer>,
    grammars: Grammars,
    template: Option<ChatTemplate>,
    info: ModelInfo,
    /// What the tokenizer puts before every text, if anything.
    beginning: Option<TokenId>,
}

impl Engine {
    /// Reads the file's table, builds its graph and has the backend load the weights.
    pub async fn load<'a>(
        bytes: &'a dyn ByteSource,
        backend: &'a dyn Backend,
        options: EngineOptions,
        progress: &'a mut LoadProgress<'a>,
    ) -> Result<Self, EngineError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        for (option, value) in [("context", options.context), ("batch", options.batch)] {
            if value == Some(0) {
                return Err(EngineError::Option { option, problem: "it must be at least 1".to_owned() });
            }
        }
        let gguf = Gguf::read(bytes)?;
        let context = options.context.unwrap_or(DEFAULT_CONTEXT);
        let (config, graph) = crate::architectures::build(&gguf, bytes, context)?;
        let tokenizer = Arc::new(Tokenizer::from_metadata(&gguf.metadata)?);
        if tokenizer.size() > graph.vocabulary {
            return Err(EngineError::VocabularyMismatch { tokenizer: tokenizer.size(), embeddings: graph.vocabulary });
        }
        let template = ChatTemplate::from_metadata(&gguf.metadata)?;
        let beginning = beginning(&gguf, &tokenizer)?;
        let context = context.min(config.context);
        let batch = options.batch.unwrap_or(DEFAULT_BATCH).min(context);
        let file = WeightFile { gguf: &gguf, bytes };
        let executor = backend
            .load(
                &graph,
                file,
                ExecutorOptions { context, batch, choices: MAX_CHOICES, cache: options.cache },
                progress,
            )
            .await?;
        let info = ModelInfo {
            architecture: config.architecture,
            name: gguf.metadata.text_if_present("general.name")?.unwrap_or_default().to_owned(),
            parameters: gguf.tensors.iter().map(elements).sum(),
            quantization: commonest_format(&gguf).to_owned(),
            context: executor.options().context,
            trained_context: config.context,
            vocabulary: graph.vocabulary,
            layers: config.layers.len(),
            weight_bytes: gguf.tensors.iter().map(|tensor| tensor.size).sum(),
            backend: backend.describe(),
        };
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            pipeline: Pipeline::new(executor),
            tokenizer,
            grammars: Grammars::default(),
            template,
            info,
            beginning,
        })
    }

    /// What was loaded, and on what.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// A conversation as the model was trained to read it, up to where its answer begins. A file
    /// without a template gets one line per message, `role: content`.
    pub fn chat_tokens<'a>(&self, conversation: impl Into<Conversation<'a>>) -> Result<Vec<TokenId>, EngineError> {
        let conversation = conversation.into();
        let text = match &self.template {
            Some(template) => template.render(conversation)?,
            None => plain_layout(conversation.messages),
        };
        let special = SpecialTokens { add: false, parse: true };
        let mut tokens = self.tokenizer.encode(&text, special)?;
        // Some templates write the beginning themselves and some leave it to the tokenizer.
        if let Some(beginning) = self.beginning
            && tokens.first() != Some(&beginning)
        {
            tokens.insert(0, beginning);
        }
        Ok(tokens)
    }

    /// Room for one conversation.
    pub fn create_session(&mut self) -> Result<Session, EngineError> {
        Ok(Session { engine: self.number, cache: self.pipeline.executor.create_cache()?, tokens: Vec::new() })
    }

    /// Gives a conversation's room back.
    #[expect(clippy::needless_pass_by_value, reason = "a closed session must not be used again")]
    pub fn close_session(&mut self, session: Session) {
        if session.engine == self.number {
            self.pipeline.executor.drop_cache(session.cache);
        }
    }

    /// Starts an answer to `prompt`, which is the whole conversation: what the session already holds of
    /// it is not run again. Nothing runs before the first [`Generation::next`].
    pub fn generate<'a>(
        &'a mut self,
        session: &'a mut Session,
        prompt: &[TokenId],
        options: GenerateOptions,
    ) -> Result<Generation<'a>, EngineError> {
        self.check(session, prompt)?;
        Generation::new(self, session, prompt.to_vec(), options)
    }

    /// What follows an answer under this constraint.
    pub(crate) fn matcher(&mut self, constraint: &Constraint) -> Result<Matcher, EngineError> {
        self.grammars.matcher(&self.tokenizer, constraint, self.info.vocabulary)
    }

    /// The logits that follow `tokens`. For evaluation only: an answer never needs them all.
    pub async fn next_logits(&mut self, session: &mut Session, tokens: &[TokenId]) -> Result<Vec<f32>, EngineError> {
        self.check(session, tokens)?;
        let result = self.run_for_logits(session, tokens).await;
        if result.is_err() {
            session.tokens.clear();
        }
        result
    }

    async fn run_for_logits(&mut self, session: &mut Session, tokens: &[TokenId]) -> Result<Vec<f32>, EngineError> {
        self.pipeline.drain().await?;
        let mut position = session.reuse(tokens);
        let batch = self.pipeline.executor.options().batch;
        let mut logits = Vec::new();
        while position < tokens.len() {
            let end = tokens.len().min(position + batch);
            let chunk = &tokens[position..end];
            self.pipeline.submit(Step {
                cache: session.cache,
                position,
                input: StepInput::Tokens(chunk),
                want: if end == tokens.len() { Want::Logits } else { Want::Nothing },
            })?;
            if let Some(output) = self.pipeline.collect().await? {
                logits = output.logits;
            }
            session.tokens.extend_from_slice(chunk);
            position = end;
        }
        Ok(logits)
    }

    /// What the steps so far asked of the device.
    pub fn counters(&self) -> Counters {
        self.pipeline.executor.counters()
    }

    fn check(&self, session: &Session, tokens: &[TokenId]) -> Result<(), EngineError> {
        session.check(self.number)?;
        if tokens.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        if tokens.len() > self.info.context {
            return Err(EngineError::PromptTooLong { tokens: tokens.len(), context: self.info.context });
        }
        let vocabulary = self.info.vocabulary;
        match tokens.iter().find(|token| **token as usize >= vocabulary) {
            None => Ok(()),
            Some(&token) => Err(EngineError::TokenOutOfRange { token, vocabulary }),
        }
    }
}

fn plain_layout(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        text.push_str(&message.role);
        text.push_str(": ");
        text.push_str(&message.content);
        text.push('\n');
    }
    text.push_str("assistant:");
    text
}

/// The beginning-of-text token, if the tokenizer adds one by itself.
fn beginning(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Option<TokenId>, EngineError> {
    let named = gguf.metadata.unsigned_if_present("tokenizer.ggml.bos_token_id")?;
    let added = tokenizer.encode("", SpecialTokens { add: true, parse: false })?;
    Ok(added.first().copied().filter(|token| named == Some(u64::from(*token))))
}

fn elements(tensor: &nearside_gguf::TensorInfo) -> u64 {
    tensor.columns().saturating_mul(tensor.rows())
}

fn commonest_format(gguf: &Gguf) -> &'static str {
    let mut counts: BTreeMap<DataType, u64> = BTreeMap::new();
    for tensor in &gguf.tensors {
        let count = counts.entry(tensor.data_type).or_default();
        *count = count.saturating_add(elements(tensor));
    }
    counts.iter().max_by_key(|(_, count)| **count).map_or("", |(data_type, _)| data_type.name())
}
