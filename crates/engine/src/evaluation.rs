//! Comparison with a reference engine's recorded answers.

use serde::{Deserialize, Serialize};

use crate::backend::TokenId;
use crate::sampling::{log_sum_exp, top_candidates};
use crate::{Engine, EngineError, Event, GenerateOptions, Sampling, Session};
use nearside_text::SpecialTokens;

/// Where the reference's best logit leads by less, another correct engine may choose otherwise.
pub const CLEAR_MARGIN: f32 = 0.5;

/// What the reference engine answered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ParityVectors {
    /// The model file.
    pub model: String,
    /// The reference engine and its version.
    pub engine: String,
    /// Short prompts.
    pub prompts: Vec<ParityPrompt>,
    /// A longer text.
    pub text: String,
    /// Its tokens.
    pub text_ids: Vec<TokenId>,
    /// The negative log-probability of each token of the text after the first.
    pub text_nll: Vec<f64>,
    /// `exp` of their mean.
    pub text_perplexity: f64,
}

/// What the reference engine made of one prompt.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ParityPrompt {
    /// Plain text: special tokens in it are not parsed.
    pub prompt: String,
    /// Its tokens, with the beginning token where the file asks for one.
    pub ids: Vec<TokenId>,
    /// The likeliest next tokens and the logarithms of their probabilities.
    pub next_top10: Vec<(TokenId, f32)>,
    /// The tokens of a greedy answer.
    pub greedy: Vec<TokenId>,
    /// For each of them, by how much the best logit led.
    pub greedy_margin: Vec<f32>,
}

/// How near an engine came to the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParityReport {
    /// The model file.
    pub model: String,
    /// The reference engine.
    pub reference: String,
    /// How many prompts there are.
    pub prompts: usize,
    /// Prompts whose tokens are equal.
    pub ids_equal: usize,
    /// Whether the longer text's tokens are equal.
    pub text_ids_equal: bool,
    /// Prompts whose likeliest next token is the reference's, however close its lead.
    pub top1_equal: usize,
    /// Prompts whose greedy answers are equal throughout.
    pub greedy_equal: usize,
    /// Prompts whose greedy answers are equal up to, and without, the first token at which the
    /// reference's lead was under [`CLEAR_MARGIN`].
    pub greedy_until_margin: usize,
    /// The largest difference in log-probability over the reference's ten likeliest next tokens of each prompt.
    pub max_abs_dlogprob: f32,
    /// Perplexity of the longer text here.
    pub ppl: f64,
    /// Perplexity of the longer text in the reference.
    pub ppl_ref: f64,
}

/// Runs everything that the reference ran and compares. Models are always given the reference's tokens,
/// so that a tokenizer's mistake does not hide in the figures of the model. `progress` is told how many
/// of how many parts are done. The same engine gives the same report every time.
pub async fn parity(
    engine: &mut Engine,
    vectors: &ParityVectors,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<ParityReport, EngineError> {
    let mut session = engine.create_session()?;
    let result = compare(engine, &mut session, vectors, progress).await;
    engine.close_session(session);
    result
}

async fn compare(
    engine: &mut Engine,
    session: &mut Session,
    vectors: &ParityVectors,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<ParityReport, EngineError> {
    let mut report = ParityReport {
        model: vectors.model.clone(),
        reference: vectors.engine.clone(),
        prompts: vectors.prompts.len(),
        ids_equal: 0,
        text_ids_equal: encode(engine, &vectors.text)? == vectors.text_ids,
        top1_equal: 0,
        greedy_equal: 0,
        greedy_until_margin: 0,
        max_abs_dlogprob: 0.0,
        ppl: 0.0,
        ppl_ref: vectors.text_perplexity,
    };
    let parts = vectors.prompts.len() + vectors.text_ids.len().saturating_sub(1);
    for (done, prompt) in vectors.prompts.iter().enumerate() {
        compare_prompt(engine, session, prompt, &mut report).await?;
        progress(done + 1, parts);
    }
    let mut sum = 0.0;
    for known in 1..vectors.text_ids.len() {
        let logits = engine.next_logits(session, &vectors.text_ids[..known]).await?;
        let next = vectors.text_ids[known];
        sum -= f64::from(log_probability(&logits, next)?);
        progress(vectors.prompts.len() + known, parts);
    }
    let count = vectors.text_ids.len().saturating_sub(1).max(1);
    report.ppl = (sum / count as f64).exp();
    Ok(report)
}

async fn compare_prompt(
    engine: &mut Engine,
    session: &mut Session,
    prompt: &ParityPrompt,
    report: &mut ParityReport,
) -> Result<(), EngineError> {
    report.ids_equal += usize::from(encode(engine, &prompt.prompt)? == prompt.ids);
    let logits = engine.next_logits(session, &prompt.ids).await?;
    let best = top_candidates(&logits, 1);
    let equal = match (best.first(), prompt.next_top10.first()) {
        (Some(ours), Some((theirs, _))) => ours.token == *theirs,
        _ => false,
    };
    report.top1_equal += usize::from(equal);
    for (token, theirs) in &prompt.next_top10 {
        let difference = (log_probability(&logits, *token)? - theirs).abs();
        // Not `max`, which would pass over a difference that is not a number.
        if difference.is_nan() || difference > report.max_abs_dlogprob {
            report.max_abs_dlogprob = difference;
        }
    }
    let ours = greedy(engine, session, &prompt.ids, prompt.greedy.len()).await?;
    report.greedy_equal += usize::from(ours == prompt.greedy);
    let clear = prompt
        .greedy_margin
        .iter()
        .position(|margin| *margin < CLEAR_MARGIN)
        .unwrap_or(prompt.greedy.len())
        .min(prompt.greedy.len());
    report.greedy_until_margin += usize::from(ours.get(..clear) == prompt.greedy.get(..clear));
    Ok(())
}

fn encode(engine: &Engine, text: &str) -> Result<Vec<TokenId>, EngineError> {
    Ok(engine.tokenizer().encode(text, SpecialTokens { add: true, parse: false })?)
}

async fn greedy(
    engine: &mut Engine,
    session: &mut Session,
    prompt: &[TokenId],
    count: usize,
) -> Result<Vec<TokenId>, EngineError> {
    let options = GenerateOptions {
        sampling: Sampling::greedy(),
        max_tokens: count,
        ignore_end: true,
        ..GenerateOptions::default()
    };
    let mut generation = engine.generate(session, prompt, options)?;
    let mut tokens = Vec::with_capacity(count);
    while let Some(event) = generation.next().await? {
        if let Event::Token(token) = event {
            tokens.push(token.id);
        }
    }
    Ok(tokens)
}

fn log_probability(logits: &[f32], token: TokenId) -> Result<f32, EngineError> {
    match logits.get(token as usize) {
        Some(logit) => Ok(logit - log_sum_exp(logits)),
        None => Err(EngineError::TokenOutOfRange { token, vocabulary: logits.len() }),
    }
}
