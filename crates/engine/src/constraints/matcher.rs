//! Follows one answer.

use llguidance::api::StopReason;

use super::Constraint;
use crate::EngineError;
use crate::backend::TokenId;

/// The longest part of a reason that is passed on.
const REASON_LIMIT: usize = 300;

/// Knows what may come next in one answer.
pub(crate) struct Matcher {
    inner: llguidance::Matcher,
    kind: &'static str,
    /// Words of a mask.
    words: usize,
}

impl Matcher {
    pub(super) fn new(inner: llguidance::Matcher, constraint: &Constraint, tokens: usize) -> Result<Self, EngineError> {
        let matcher = Self { inner, kind: constraint.kind(), words: tokens.div_ceil(32) };
        match matcher.inner.get_error() {
            None => Ok(matcher),
            Some(reason) => Err(matcher.failed(&reason)),
        }
    }

    /// One bit for each token that may come next.
    pub(crate) fn mask(&mut self) -> Result<Vec<u32>, EngineError> {
        let mask = self.inner.compute_mask();
        let mut words = Vec::from(mask.map_err(|error| self.failed(&error.to_string()))?);
        words.resize(self.words, 0);
        Ok(words)
    }

    /// Takes the token that came. Says whether the answer is complete, so that nothing may follow.
    pub(crate) fn take(&mut self, token: TokenId) -> Result<bool, EngineError> {
        self.inner.consume_token(token).map_err(|error| self.failed(&error.to_string()))?;
        Ok(self.inner.is_stopped())
    }

    /// The tokens that can only follow now.
    pub(crate) fn forced(&mut self) -> Vec<TokenId> {
        if self.inner.is_stopped() { Vec::new() } else { self.inner.compute_ff_tokens() }
    }

    /// Whether the answer may end here.
    pub(super) fn may_end(&mut self) -> Result<bool, EngineError> {
        self.inner.is_accepting().map_err(|error| self.failed(&error.to_string()))
    }

    fn failed(&self, reason: &str) -> EngineError {
        let problem = match self.inner.stop_reason() {
            StopReason::LexerTooComplex | StopReason::ParserTooComplex => {
                "it needs more work than a token may cost; make it simpler".to_owned()
            }
            StopReason::NoExtensionBias => "it leaves no way to go on with this model's tokens".to_owned(),
            _ if reason.starts_with("panic") => {
                "it is beyond what the grammar engine can do; make it simpler".to_owned()
            }
            _ => one_line(reason),
        };
        EngineError::Constraint { kind: self.kind, problem }
    }
}

/// What is wrong, without the picture of where.
fn one_line(reason: &str) -> String {
    let mut lines = reason.trim().lines();
    let first = lines.next().unwrap_or_default();
    // A regular expression's parser begins with the picture.
    let detail = lines.find_map(|line| line.strip_prefix("error: "));
    let words = [Some(first), detail].into_iter().flatten().collect::<Vec<_>>().join(" ");
    words.chars().take(REASON_LIMIT).collect()
}
