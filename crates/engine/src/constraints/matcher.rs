//! Follows one answer.

use llguidance::api::StopReason;
use llguidance::toktrie::TokEnv;

use super::Constraint;
use crate::EngineError;
use crate::backend::TokenId;

/// The longest part of a reason that is passed on.
const REASON_LIMIT: usize = 300;

/// Knows what may come next in one answer.
pub(crate) struct Matcher {
    inner: llguidance::Matcher,
    vocabulary: TokEnv,
    kind: &'static str,
    /// Words of a mask.
    words: usize,
    /// What may come next, once that was asked for.
    mask: Option<Vec<u32>>,
}

impl Matcher {
    pub(super) fn new(
        inner: llguidance::Matcher,
        vocabulary: TokEnv,
        constraint: &Constraint,
        tokens: usize,
    ) -> Result<Self, EngineError> {
        let matcher = Self { inner, vocabulary, kind: constraint.kind(), words: tokens.div_ceil(32), mask: None };
        match matcher.inner.get_error() {
            None => Ok(matcher),
            Some(reason) => Err(matcher.failed(&reason)),
        }
    }

    /// One bit for each token that may come next.
    pub(crate) fn mask(&mut self) -> Result<&[u32], EngineError> {
        if self.mask.is_none() {
            let mask = self.inner.compute_mask();
            let mut words = Vec::from(mask.map_err(|error| self.failed(&error.to_string()))?);
            words.resize(self.words, 0);
            self.mask = Some(words);
        }
        Ok(self.mask.as_deref().unwrap_or_default())
    }

    /// Takes the token that came. Says whether the answer is complete, so that nothing may follow.
    pub(crate) fn take(&mut self, token: TokenId) -> Result<bool, EngineError> {
        self.mask = None;
        self.inner.consume_token(token).map_err(|error| self.failed(&error.to_string()))?;
        Ok(self.inner.is_stopped())
    }

    /// The token that can only follow: of those that may, the one that all others begin.
    pub(crate) fn certain(&mut self) -> Result<Option<TokenId>, EngineError> {
        if self.inner.is_stopped() {
            return Ok(None);
        }
        let vocabulary = TokEnv::clone(&self.vocabulary);
        let trie = vocabulary.tok_trie();
        let mut longest: Option<(TokenId, &[u8])> = None;
        for token in set_bits(self.mask()?) {
            let bytes = trie.token(token);
            longest = match longest {
                _ if bytes.is_empty() || trie.eos_tokens().contains(&token) => return Ok(None),
                Some((_, before)) if before.starts_with(bytes) => longest,
                Some((_, before)) if !bytes.starts_with(before) => return Ok(None),
                _ => Some((token, bytes)),
            };
        }
        Ok(longest.map(|(token, _)| token))
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

/// The places of the bits that are set.
fn set_bits(words: &[u32]) -> impl Iterator<Item = u32> {
    (0..).zip(words).flat_map(|(index, word)| {
        let lowest = |rest: &u32| Some(rest & (rest - 1)).filter(|rest| *rest != 0);
        let first = Some(*word).filter(|word| *word != 0);
        std::iter::successors(first, lowest).map(move |rest| index * 32 + rest.trailing_zeros())
    })
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
