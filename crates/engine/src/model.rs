//! A loaded model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nearside_gguf::{ByteSource, DataType, Gguf};
use nearside_text::reply::ReplyFormat;
use nearside_text::{ChatTemplate, Conversation, Message, SpecialTokens, Tokenizer};

use crate::adapters::Adapters;
use crate::ahead::Begun;
use crate::backend::{
    Backend, CacheId, Counters, ExecutorOptions, LoadProgress, Step, StepInput, TokenId, Want, WeightFile,
};
use crate::constraints::{Grammars, Matcher, Thought};
use crate::generation::speculation::Draft;
use crate::graph::Graph;
use crate::pipeline::Pipeline;
use crate::session::{Entry, Sessions};
use crate::{Constraint, ContextPolicy, EngineError, EngineOptions, GenerateOptions, Generation, ModelInfo, Session};

/// A loaded model: tokenizer, chat template and executor.
pub struct Engine {
    /// Tells its sessions from those of other engines.
    pub(crate) number: u64,
    pub(crate) pipeline: Pipeline,
    pub(crate) sessions: Sessions,
    pub(crate) draft: Option<Draft>,
    pub(crate) adapters: Adapters,
    /// In use while a text is made into a vector.
    pub(crate) embedding_cache: Option<CacheId>,
    pub(crate) graph: Graph,
    /// As they were asked for.
    pub(crate) executor_options: ExecutorOptions,
    tokenizer: Arc<Tokenizer>,
    grammars: Grammars,
    template: Option<ChatTemplate>,
    pub(crate) info: ModelInfo,
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
        Self::load_begun(None, bytes, backend, options, progress).await
    }

    /// The same, going on with what was begun on this backend. What was begun for a file with another table, or with
    /// other options, is dropped before anything is loaded.
    pub async fn load_begun<'a>(
        begun: Option<Begun>,
        bytes: &'a dyn ByteSource,
        backend: &'a dyn Backend,
        options: EngineOptions,
        progress: &'a mut LoadProgress<'a>,
    ) -> Result<Self, EngineError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let context = options.positions()?;
        let gguf = Gguf::read(bytes)?;
        let (config, graph) = crate::architectures::build(&gguf, bytes, context)?;
        let tokenizer = Arc::new(Tokenizer::from_metadata(&gguf.metadata)?);
        if tokenizer.size() > graph.vocabulary {
            return Err(EngineError::VocabularyMismatch { tokenizer: tokenizer.size(), embeddings: graph.vocabulary });
        }
        let template = ChatTemplate::from_metadata(&gguf.metadata)?;
        let beginning = beginning(&gguf, &tokenizer)?;
        let file = WeightFile { gguf: &gguf, bytes };
        let executor_options = options.executor(context.min(config.context), backend);
        let executor = match begun.and_then(|begun| begun.of(&gguf, &graph, executor_options)) {
            Some(begun) => begun.finish(file, progress).await?,
            None => backend.load(&graph, file, executor_options, progress).await?,
        };
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
            cache: executor.options().cache,
            backend: backend.describe(),
        };
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            pipeline: Pipeline::new(executor),
            sessions: Sessions::default(),
            draft: None,
            adapters: Adapters::default(),
            embedding_cache: None,
            graph,
            executor_options,
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

    /// How the model marks what it thinks and the tools it calls.
    pub fn reply_format(&self) -> ReplyFormat {
        self.template.as_ref().map_or_else(ReplyFormat::default, |template| template.reply_format().clone())
    }

    /// A conversation as the model was trained to read it, up to where its answer begins. A file
    /// without a template gets one line per message, `role: content`.
    pub fn chat_text<'a>(&self, conversation: impl Into<Conversation<'a>>) -> Result<String, EngineError> {
        let conversation = conversation.into();
        Ok(match &self.template {
            Some(template) => template.prompt(conversation)?,
            None => plain_layout(conversation.messages),
        })
    }

    /// The tokens of a text that [`Self::chat_text`] laid out.
    pub fn layout_tokens(&self, text: &str) -> Result<Vec<TokenId>, EngineError> {
        let special = SpecialTokens { add: false, parse: true };
        let mut tokens = self.tokenizer.encode(text, special)?;
        // Some templates write the beginning themselves and some leave it to the tokenizer.
        if let Some(beginning) = self.beginning
            && tokens.first() != Some(&beginning)
        {
            tokens.insert(0, beginning);
        }
        Ok(tokens)
    }

    /// The tokens of a conversation, laid out by [`Self::chat_text`].
    pub fn chat_tokens<'a>(&self, conversation: impl Into<Conversation<'a>>) -> Result<Vec<TokenId>, EngineError> {
        self.layout_tokens(&self.chat_text(conversation)?)
    }

    /// How many of [`Self::chat_tokens`] belong to what stands before the first question: the system prompt, and what
    /// the template writes there. For [`ContextPolicy::Slide`].
    pub fn system_tokens<'a>(&self, conversation: impl Into<Conversation<'a>>) -> Result<usize, EngineError> {
        let conversation = conversation.into();
        let messages = conversation.messages;
        let tokens = self.chat_tokens(conversation)?;
        let mut other: Vec<Message> = messages.iter().take_while(|message| message.role == "system").cloned().collect();
        let first = messages.get(other.len()).map_or("", |message| message.content.as_str());
        other.push(Message::new("user", if first.starts_with('0') { "1" } else { "0" }));
        let other = self.chat_tokens(Conversation { messages: &other, ..conversation })?;
        let common = tokens.iter().zip(&other).take_while(|(one, other)| one == other).count();
        // The next turn's opening is no part of it where the template ends the system prompt properly.
        let end = tokens[..common].iter().rposition(|token| self.tokenizer.is_end(*token));
        Ok(end.map_or(common, |end| end + 1))
    }

    /// Starts an answer to `prompt`, which is the whole conversation: what the session already holds of
    /// it is not run again. Nothing runs before the first [`Generation::next`].
    pub fn generate<'a>(
        &'a mut self,
        session: &'a mut Session,
        prompt: &[TokenId],
        options: GenerateOptions,
    ) -> Result<Generation<'a>, EngineError> {
        if session.engine != self.number {
            return Err(EngineError::ForeignSession);
        }
        match options.when_full {
            ContextPolicy::Stop => self.check_tokens(prompt)?,
            ContextPolicy::Slide { .. } => self.check_known(prompt)?,
        }
        Generation::new(self, session, prompt.to_vec(), options)
    }

    /// What follows an answer under this constraint.
    pub(crate) fn matcher(
        &mut self,
        constraint: &Constraint,
        thought: Option<&Thought>,
    ) -> Result<Matcher, EngineError> {
        self.grammars.matcher(&self.tokenizer, constraint, thought, self.info.vocabulary)
    }

    /// The logits that follow `tokens`. For evaluation only: an answer never needs them all.
    pub async fn next_logits(&mut self, session: &mut Session, tokens: &[TokenId]) -> Result<Vec<f32>, EngineError> {
        self.check_tokens(tokens)?;
        let result = self.run_for_logits(session, tokens).await;
        if result.is_err() {
            self.distrust(session);
        }
        result
    }

    async fn run_for_logits(&mut self, session: &Session, tokens: &[TokenId]) -> Result<Vec<f32>, EngineError> {
        self.pipeline.drain().await?;
        let Entry { cache, reused: mut position } = self.enter(session, tokens)?;
        let batch = self.pipeline.executor.options().batch;
        let mut logits = Vec::new();
        while position < tokens.len() {
            let end = tokens.len().min(position + batch);
            let chunk = &tokens[position..end];
            self.pipeline.submit(Step {
                cache,
                position,
                input: StepInput::Tokens(chunk),
                want: if end == tokens.len() { Want::Logits } else { Want::Nothing },
            })?;
            if let Some(output) = self.pipeline.collect().await? {
                logits = output.logits;
            }
            self.extend(session, chunk);
            position = end;
        }
        Ok(logits)
    }

    /// What the steps so far asked of the device.
    pub fn counters(&self) -> Counters {
        self.pipeline.executor.counters()
    }

    /// Whether these can be read.
    pub(crate) fn check_tokens(&self, tokens: &[TokenId]) -> Result<(), EngineError> {
        if tokens.len() > self.info.context {
            return Err(EngineError::PromptTooLong { tokens: tokens.len(), context: self.info.context });
        }
        self.check_known(tokens)
    }

    fn check_known(&self, tokens: &[TokenId]) -> Result<(), EngineError> {
        if tokens.is_empty() {
            return Err(EngineError::EmptyPrompt);
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
