//! What a backend must do: compile a graph, then run steps.

use std::ops::ControlFlow;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_gguf::{ByteSource, Gguf, SourceError};

use crate::graph::{Graph, GraphError};

/// A token's number in the vocabulary.
pub type TokenId = u32;

/// The most candidates a step samples from and reports. `top_k` above it is treated as this many.
pub const MAX_CANDIDATES: usize = 64;

/// The most rows one step chooses tokens for.
pub const MAX_CHOICES: usize = 16;

/// What a backend is, for people and for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendDescription {
    /// `gpu` or `cpu`.
    pub kind: BackendKind,
    /// The adapter's or instruction set's name.
    pub device: String,
    /// What it uses, such as `shader-f16`, `subgroups` or `simd128`.
    pub features: Vec<String>,
}

/// The two backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendKind {
    /// WebGPU, or the platform's own API natively.
    Gpu,
    /// Plain or SIMD code.
    Cpu,
}

/// The model file while it is being loaded.
pub struct WeightFile<'a> {
    /// The file's table.
    pub gguf: &'a Gguf,
    /// The file's bytes.
    pub bytes: &'a dyn ByteSource,
}

/// Told how many weight bytes are in place, out of how many; breaking cancels the load.
pub type LoadProgress<'a> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'a;

/// How a model is to be laid out for running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorOptions {
    /// Positions each cache can hold.
    pub context: usize,
    /// The most tokens one step takes.
    pub batch: usize,
    /// The most rows one step chooses tokens for, at most [`MAX_CHOICES`].
    pub choices: usize,
    /// How keys and values are kept.
    pub cache: CacheFormat,
}

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CacheFormat {
    /// Half-precision floats.
    #[default]
    F16,
    /// Blocks of 32 signed bytes with one half-precision scale.
    Q8_0,
}

/// Turns graphs into executors.
pub trait Backend {
    /// What this is.
    fn describe(&self) -> BackendDescription;

    /// How many tokens a step should take where nobody says: more of them fill a fast device better.
    fn batch(&self) -> usize {
        256
    }

    /// Does what can be done of a load before there are weights, from the table of the file that they will be in;
    /// nothing where that saves no time.
    fn begin<'a>(
        &'a self,
        _graph: &'a Graph,
        _table: &'a Gguf,
        _options: ExecutorOptions,
    ) -> LocalBoxFuture<'a, Result<Option<Box<dyn BegunLoad>>, BackendError>> {
        async { Ok(None) }.boxed_local()
    }

    /// Reads the graph's weights in bounded chunks and prepares everything that a step needs.
    fn load<'a>(
        &'a self,
        graph: &'a Graph,
        file: WeightFile<'a>,
        options: ExecutorOptions,
        progress: &'a mut LoadProgress<'a>,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Executor>, BackendError>>;
}

/// A load that has begun without the weights. Dropping it gives up what it holds.
pub trait BegunLoad {
    /// Does the rest of what needs no weights. It waits for what is being prepared, which goes on by itself until then.
    fn rehearse(self: Box<Self>) -> LocalBoxFuture<'static, Result<Box<dyn BegunLoad>, BackendError>>;

    /// Reads the weights from a file with the table that it began with, and does what is left.
    fn finish<'a>(
        self: Box<Self>,
        file: WeightFile<'a>,
        progress: &'a mut LoadProgress<'a>,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Executor>, BackendError>>;
}

/// One conversation's keys and values, held by the executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheId(pub usize);

/// A step that was submitted and not yet collected. Tickets are collected in the order of submission.
///
/// The engine collects every ticket sooner or later, but a caller that goes away can drop the future of
/// [`Executor::collect`] halfway, and the ticket with it. So an executor must take a later ticket while
/// earlier ones were never collected, or not to the end; their outputs are then thrown away.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(pub u64);

/// The tokens a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepInput<'a> {
    /// These, at most [`ExecutorOptions::batch`] of them.
    Tokens(&'a [TokenId]),
    /// The one token that the step or choice submitted just before this one chose, for its last row; it
    /// never leaves the device.
    Sampled,
}

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRule {
    /// 0 takes the best candidate.
    pub temperature: f32,
    /// Keep this many best candidates; 0 keeps [`MAX_CANDIDATES`].
    pub top_k: usize,
    /// Keep the smallest set of best candidates whose probability reaches this.
    pub top_p: f32,
    /// Drop candidates less probable than this share of the best one's probability.
    pub min_p: f32,
    /// Where in the kept probability mass the choice falls, in [0, 1): the seed's draw for this position.
    pub draw: f32,
}

/// What to bring back from a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Want<'a> {
    /// Only fill the cache; the ops after [`crate::graph::Op::LastRows`] need not run.
    Nothing,
    /// Choose a token on the device for each of the last rows, as many as there are rules; report each
    /// with this many best candidates (at least 2). A draft is checked with several rules at once.
    Sample(&'a [SampleRule], usize),
    /// Compute the last row's logits and keep them on the device for [`Executor::choose`]: what is allowed
    /// is worked out meanwhile.
    Hold,
    /// All logits of the last position: for evaluation, never in an answer's path.
    Logits,
    /// The final hidden states of all the step's rows: for embeddings.
    Hidden,
}

/// A choice from the logits that the step before it held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldChoice<'a> {
    /// How the token is chosen.
    pub rule: SampleRule,
    /// How many best candidates are reported, at least 2.
    pub candidates: usize,
    /// What changes before the choice; a token at most once. Candidates are reported as changed.
    pub changes: &'a [LogitChange],
    /// One bit for each token, lowest first in each word: a token without its bit cannot be chosen. All
    /// can when it is absent.
    pub allowed: Option<&'a [u32]>,
}

/// One token's penalties and bias.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogitChange {
    /// Which token.
    pub token: TokenId,
    /// A positive logit is divided by it, a negative one multiplied; 1 changes nothing.
    pub divisor: f32,
    /// Added afterwards.
    pub bias: f32,
}

/// One run of the graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step<'a> {
    /// Whose past is attended and extended.
    pub cache: CacheId,
    /// The position of the first token; whatever the cache held from here on is overwritten.
    pub position: usize,
    /// What runs.
    pub input: StepInput<'a>,
    /// What comes back.
    pub want: Want<'a>,
}

/// A token and its logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which token.
    pub token: TokenId,
    /// Before temperature.
    pub logit: f32,
}

/// What a step brought back.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepOutput {
    /// One for each rule, in the order of the rows; for [`Want::Sample`] and [`Executor::choose`].
    pub choices: Vec<Choice>,
    /// For [`Want::Logits`].
    pub logits: Vec<f32>,
    /// Row after row, for [`Want::Hidden`].
    pub hidden: Vec<f32>,
}

/// A token chosen on the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Which.
    pub token: TokenId,
    /// Best first, ties by lower token.
    pub candidates: Vec<Candidate>,
    /// `ln Σ exp(logit)` over the whole vocabulary.
    pub log_sum_exp: f32,
}

/// A set of low-rank changes, held by the executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdapterId(pub usize);

/// A low-rank change of one weight: its product with `x` gains `up · (down · x)`.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRank {
    /// Which weight of the graph.
    pub weight: crate::graph::Weight,
    /// Rows of `down`, columns of `up`.
    pub rank: usize,
    /// `rank` rows, as many columns as the weight.
    pub down: Vec<f32>,
    /// As many rows as the weight, `rank` columns, the adapter's own scale already in them.
    pub up: Vec<f32>,
}

/// The parts of an adapter, one at a time, so that never the whole of it need be held twice.
pub type LowRanks<'a> = dyn Iterator<Item = Result<LowRank, BackendError>> + 'a;

/// A loaded model that runs steps.
pub trait Executor {
    /// The options it was loaded with, possibly lowered to what the device can do.
    fn options(&self) -> ExecutorOptions;

    /// Room for one conversation.
    fn create_cache(&mut self) -> Result<CacheId, BackendError>;

    /// Gives the room back; an unknown id is ignored.
    fn drop_cache(&mut self, cache: CacheId);

    /// A cache that begins with the first `length` positions of another.
    fn fork_cache(&mut self, from: CacheId, length: usize) -> Result<CacheId, BackendError>;

    /// Starts a step without waiting for it.
    fn submit(&mut self, step: Step<'_>) -> Result<Ticket, BackendError>;

    /// Starts a choice from the logits held by the step submitted just before, without waiting for it.
    fn choose(&mut self, choice: HeldChoice<'_>) -> Result<Ticket, BackendError>;

    /// Takes an adapter's parts; it changes nothing until it is used.
    fn add_adapter(&mut self, parts: &mut LowRanks<'_>) -> Result<AdapterId, BackendError>;

    /// From now on these adapters change the products, each times its factor, and no others. What the caches
    /// hold was computed with those before.
    fn use_adapters(&mut self, active: &[(AdapterId, f32)]) -> Result<(), BackendError>;

    /// Gives an adapter's room back; one in use is no longer, an unknown id is ignored.
    fn drop_adapter(&mut self, adapter: AdapterId);

    /// Waits for a step's output.
    fn collect(&mut self, ticket: Ticket) -> LocalBoxFuture<'_, Result<StepOutput, BackendError>>;

    /// How many steps are worth having in flight. Two keep a device busy that runs beside its caller; an
    /// executor whose `submit` computes the step itself says one, so that no token waits for the next.
    fn steps_in_flight(&self) -> usize {
        2
    }

    /// What the steps so far asked of the device.
    fn counters(&self) -> Counters;
}

/// What was asked of the device since loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Steps run.
    pub steps: u64,
    /// Command buffers submitted.
    pub submits: u64,
    /// Compute passes.
    pub passes: u64,
    /// Dispatches, or kernel calls.
    pub dispatches: u64,
    /// Those of them that belong to a layer; 0 where a backend does not tell them apart.
    pub layer_dispatches: u64,
    /// Bytes of weights held, in the layout they are read in.
    pub weight_bytes: u64,
    /// Buffers and bind groups created after loading.
    pub late_resources: u64,
    /// Times that somebody waited for a step behind which no other was submitted, so that the device ran dry.
    pub blocking_syncs: u64,
    /// Bytes of weights that the steps' kernels read, each kernel's once; 0 where a backend does not count them.
    pub weight_bytes_read: u64,
}

/// What can go wrong in a backend.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BackendError {
    /// The file could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The graph contradicts itself.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A tensor that the graph needs is missing or has another shape.
    #[error("tensor `{name}`: {problem}; the file does not hold the architecture it names")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// This backend cannot do it.
    #[error("{what} is not supported by the {backend} backend; {remedy}")]
    Unsupported {
        /// The quantization, size or feature.
        what: String,
        /// Which backend.
        backend: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// There is no usable adapter.
    #[error("no usable GPU: {reason}; the CPU backend works without one")]
    NoAdapter {
        /// Why.
        reason: String,
    },
    /// The device ran out of memory.
    #[error("out of memory while allocating {bytes} bytes for {purpose}; choose a smaller model or a shorter context")]
    OutOfMemory {
        /// How much was asked for.
        bytes: u64,
        /// For what.
        purpose: String,
    },
    /// The device went away.
    #[error("the GPU device was lost: {reason}; load the model again")]
    DeviceLost {
        /// The driver's words.
        reason: String,
    },
    /// The caller broke off.
    #[error("cancelled")]
    Cancelled,
    /// A step that breaks the contract of [`Step`].
    #[error("invalid step: {problem}")]
    InvalidStep {
        /// Which part.
        problem: String,
    },
}
