//! What callers ask for and what they are told.

use crate::backend::{Backend, BackendDescription, CacheFormat, ExecutorOptions, MAX_CHOICES, TokenId};
use crate::{Constraint, EngineError, Thought};

/// How a model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineOptions {
    /// Positions each session can hold; the model's own context, at most 4,096, when absent.
    /// A longer one than the model was trained for is lowered to that.
    pub context: Option<usize>,
    /// The most tokens one prefill step takes; 256 when absent.
    pub batch: Option<usize>,
    /// How keys and values are kept.
    pub cache: CacheFormat,
}

/// Sessions are longer than this only on request: a cache grows with every position it may hold.
const DEFAULT_CONTEXT: usize = 4096;

impl EngineOptions {
    /// The positions that are asked for, if all that is asked for makes sense.
    pub(crate) fn positions(&self) -> Result<usize, EngineError> {
        for (option, value) in [("context", self.context), ("batch", self.batch)] {
            if value == Some(0) {
                return Err(EngineError::Option { option, problem: "it must be at least 1".to_owned() });
            }
        }
        Ok(self.context.unwrap_or(DEFAULT_CONTEXT))
    }

    /// What a backend is asked for, with so many positions.
    pub(crate) fn executor(&self, context: usize, backend: &dyn Backend) -> ExecutorOptions {
        let batch = self.batch.unwrap_or_else(|| backend.batch()).min(context);
        ExecutorOptions { context, batch, choices: MAX_CHOICES, cache: self.cache }
    }
}

/// What a loaded model is.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// Such as `llama`.
    pub architecture: String,
    /// The name the file gives itself; empty when it gives none.
    pub name: String,
    /// Elements of all tensors.
    pub parameters: u64,
    /// The format that holds most of the elements, such as `Q4_K`.
    pub quantization: String,
    /// Positions a session can hold.
    pub context: usize,
    /// Positions the model was trained for.
    pub trained_context: usize,
    /// Tokens it knows.
    pub vocabulary: usize,
    /// Its layers.
    pub layers: usize,
    /// The tensor bytes in the file.
    pub weight_bytes: u64,
    /// How keys and values are kept, which may be another way than was asked for: not every backend has every width
    /// of head in blocks.
    pub cache: CacheFormat,
    /// What runs it.
    pub backend: BackendDescription,
}

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 always takes the best token.
    pub temperature: f32,
    /// Only this many best tokens; 0 for as many as the backend reports.
    pub top_k: usize,
    /// Only the best tokens whose probability together reaches this; 1 for all.
    pub top_p: f32,
    /// Only tokens at least this share as probable as the best; 0 for all.
    pub min_p: f32,
    /// The same seed gives the same tokens.
    pub seed: u64,
    /// The logit of every token among the last [`Self::repetition_window`] of prompt and answer together is divided
    /// by it if positive and multiplied with it otherwise, however often the token stands there; 1 for no penalty.
    pub repetition_penalty: f32,
    /// How far back repetition is looked for.
    pub repetition_window: usize,
    /// Taken from a token's logit once for each time that it stands in the answer; the prompt does not count.
    pub frequency_penalty: f32,
    /// Taken from the logit of every token that stands in the answer; the prompt does not count.
    pub presence_penalty: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            seed: 0,
            repetition_penalty: 1.0,
            repetition_window: 64,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
        }
    }
}

impl Sampling {
    /// Always the best token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }
}

/// How an answer is generated.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens the answer may have.
    pub max_tokens: usize,
    /// Added to these tokens' logits beside the penalties.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// What the answer must look like. It ends when nothing more may follow; one that runs out of tokens before is
    /// cut like any other.
    pub constraint: Option<Constraint>,
    /// What an answer with a constraint may begin with: the constraint is about what follows.
    pub thought: Option<Thought>,
    /// Texts before which the answer ends. They are not part of it.
    pub stop: Vec<String>,
    /// Marks of the conversation that become text where the vocabulary has a token for them, such as those around a
    /// tool call: [`nearside_text::reply::ReplyFormat::marks`] names them.
    pub shown_marks: Vec<&'static str>,
    /// How many best tokens each token is reported with, at most [`crate::backend::MAX_CANDIDATES`].
    pub top_logprobs: usize,
    /// Treats end tokens as any other, so that a measurement has a known length. A constraint's end counts.
    pub ignore_end: bool,
    /// What happens when the conversation has more tokens than the context holds.
    pub when_full: ContextPolicy,
    /// Where tokens are foreseen from. It changes how fast an answer comes, not what it is. Answers with a constraint or
    /// with penalties do without.
    pub speculation: Speculation,
}

/// Where tokens are foreseen from, so that several are checked in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Speculation {
    /// Nowhere.
    #[default]
    None,
    /// From what stood in prompt and answer before: good where an answer quotes its prompt.
    Lookup,
    /// From the smaller model that [`crate::Engine::attach_draft`] attached.
    Draft,
}

/// What happens when a conversation has more tokens than the context holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ContextPolicy {
    /// A prompt that is too long is refused, and an answer ends there.
    #[default]
    Stop,
    /// The oldest tokens are dropped, a block at a time and up to a turn's end where one is near, and the rest is read
    /// again.
    Slide {
        /// So many first tokens stay: [`crate::Engine::system_tokens`] counts those of the system prompt.
        keep: usize,
    },
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            max_tokens: 512,
            logit_bias: Vec::new(),
            constraint: None,
            thought: None,
            stop: Vec::new(),
            shown_marks: Vec::new(),
            top_logprobs: 0,
            ignore_end: false,
            when_full: ContextPolicy::Stop,
            speculation: Speculation::None,
        }
    }
}

/// What happens while an answer is generated.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// So many of the prompt's tokens that had to be run are in the cache.
    Prefill {
        /// Run so far.
        done: usize,
        /// To be run; what the session already held does not count.
        total: usize,
    },
    /// The conversation outgrew the context: the model no longer sees its oldest tokens.
    Slid {
        /// How many, in all.
        dropped: usize,
    },
    /// The answer's next token.
    Token(GeneratedToken),
    /// The last event.
    Finished(Finish),
}

/// One token of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedToken {
    /// Which.
    pub id: TokenId,
    /// The whole characters that became final with it; may be empty.
    pub text: String,
    /// The natural logarithm of its probability, before temperature and truncation but among the tokens that were
    /// allowed, and as penalized. It is 0 for a token that could only follow.
    pub log_probability: f32,
    /// The best logit minus the second best: how sure the model was here.
    pub margin: f32,
    /// The best tokens and the logarithms of their probabilities, as many as asked for.
    pub top: Vec<(TokenId, f32)>,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// Why.
    pub reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that the session already held.
    pub reused_tokens: usize,
    /// Tokens of the answer, the end token not counted.
    pub completion_tokens: usize,
    /// Tokens of the conversation that the model no longer saw at the end.
    pub dropped_tokens: usize,
    /// Tokens that speculation foresaw.
    pub drafted_tokens: usize,
    /// Those of them that were right.
    pub accepted_tokens: usize,
    /// Text that was held back in case it became a stop text, and did not.
    pub text_tail: String,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended it, a stop text came up, or the constraint allows no more.
    Stop,
    /// It reached `max_tokens`.
    Length,
    /// The session has no positions left.
    ContextFull,
}
