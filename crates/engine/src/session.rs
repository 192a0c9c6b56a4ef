//! Conversations: which tokens each has in its cache, and how one begins where another already is.

use std::collections::BTreeMap;

use crate::backend::{BackendError, CacheFormat, CacheId, TokenId};
use crate::{Engine, EngineError};

/// A fork has to save at least so many positions.
const LEAST_SAVING: usize = 16;
/// Copying a position costs about this share of computing it, or less.
const COPY_SHARE: usize = 64;

/// One conversation. Give it back with [`Engine::close_session`] when it is over.
#[derive(Debug)]
pub struct Session {
    pub(crate) engine: u64,
    number: u64,
}

/// Every conversation of an engine.
#[derive(Default)]
pub(crate) struct Sessions {
    next: u64,
    held: BTreeMap<u64, Held>,
}

/// What the engine has of one conversation.
struct Held {
    /// Its room in the executor, which went with the device if that was lost.
    cache: Option<CacheId>,
    tokens: Vec<TokenId>,
    /// So many of the tokens are in the cache.
    cached: usize,
    /// The adapters, with their factors' bits, that were in use meanwhile.
    adapters: Vec<(u64, u32)>,
}

/// Where a run begins.
pub(crate) struct Entry {
    pub(crate) cache: CacheId,
    /// So many of the prompt's tokens need not run.
    pub(crate) reused: usize,
}

impl Sessions {
    /// The device is gone, and every cache with it. The tokens stay.
    pub(crate) fn lose_caches(&mut self) {
        for held in self.held.values_mut() {
            held.cache = None;
            held.cached = 0;
        }
    }
}

impl Engine {
    /// Room for one conversation.
    pub fn create_session(&mut self) -> Result<Session, EngineError> {
        let cache = self.pipeline.executor.create_cache()?;
        Ok(self.hold(Held { cache: Some(cache), tokens: Vec::new(), cached: 0, adapters: Vec::new() }))
    }

    fn hold(&mut self, held: Held) -> Session {
        self.sessions.next += 1;
        self.sessions.held.insert(self.sessions.next, held);
        Session { engine: self.number, number: self.sessions.next }
    }

    /// Room for a conversation that begins with the first `length` tokens of another, as far as its cache holds them:
    /// these are copied, and will not be run again.
    pub fn fork_session(&mut self, from: &Session, length: usize) -> Result<Session, EngineError> {
        let held = self.sessions.held.get(&from.number).filter(|_| from.engine == self.number);
        let held = held.ok_or(EngineError::ForeignSession)?;
        let length = length.min(held.cached).min(held.tokens.len());
        let useful = length > 0 && held.adapters == self.adapters.active_bits();
        let Some(cache) = held.cache.filter(|_| useful) else { return self.create_session() };
        let (tokens, adapters) = (held.tokens[..length].to_vec(), held.adapters.clone());
        let cache = self.pipeline.executor.fork_cache(cache, length)?;
        Ok(self.hold(Held { cache: Some(cache), tokens, cached: length, adapters }))
    }

    /// Bytes of a conversation's keys and values when it fills the context.
    pub fn session_bytes(&self) -> u64 {
        let head = |width: usize| match self.info.cache {
            CacheFormat::F16 => 2 * width,
            CacheFormat::Q8_0 => width + 2 * width.div_ceil(32),
        };
        let position: usize = self.graph.caches.iter().map(|shape| 2 * shape.heads * head(shape.head_dim)).sum();
        position as u64 * self.info.context as u64
    }

    /// Gives a conversation's room back.
    #[expect(clippy::needless_pass_by_value, reason = "a closed session must not be used again")]
    pub fn close_session(&mut self, session: Session) {
        if session.engine == self.number
            && let Some(Held { cache: Some(cache), .. }) = self.sessions.held.remove(&session.number)
        {
            self.pipeline.executor.drop_cache(cache);
        }
    }

    /// The tokens that a conversation has read. They survive a lost device and a change of adapters, though not in
    /// the cache. The newest token of an answer joins them when the step that read it is done, so the last one of an
    /// answer is not among them.
    pub fn session_tokens(&self, session: &Session) -> &[TokenId] {
        match self.sessions.held.get(&session.number) {
            Some(held) if session.engine == self.number => &held.tokens,
            _ => &[],
        }
    }

    /// Prepares a session to run `prompt`. What its cache has in common with it stays, or what another session has in
    /// common with it is copied where that saves more than it costs; at least the last token is left to be run:
    /// somebody has to produce the logits.
    pub(crate) fn enter(&mut self, session: &Session, prompt: &[TokenId]) -> Result<Entry, EngineError> {
        let adapters = self.adapters.active_bits();
        let most = prompt.len().saturating_sub(1);
        let usable = |held: &Held| {
            let tokens = if held.adapters == adapters { held.cached } else { 0 };
            common(&held.tokens[..tokens.min(held.tokens.len())], prompt).min(most)
        };
        let own = self.sessions.held.get(&session.number).filter(|_| session.engine == self.number);
        let own = own.map(usable).ok_or(EngineError::ForeignSession)?;
        let others = self.sessions.held.iter().filter(|(number, _)| **number != session.number);
        let best = others
            .filter_map(|(_, held)| Some((usable(held), held.cache?)))
            .max_by_key(|(tokens, _)| *tokens)
            .filter(|(tokens, _)| tokens.saturating_sub(own) >= LEAST_SAVING.max(tokens / COPY_SHARE));
        let fork = match best {
            None => None,
            Some((tokens, cache)) => match self.pipeline.executor.fork_cache(cache, tokens) {
                Ok(fork) => Some((tokens, fork)),
                Err(error @ BackendError::DeviceLost { .. }) => return Err(error.into()),
                // There may be no room for a third cache: the conversation's own does without the copy.
                Err(_) => None,
            },
        };
        let executor = &mut self.pipeline.executor;
        let held = self.sessions.held.get_mut(&session.number).ok_or(EngineError::ForeignSession)?;
        let (cache, reused) = match fork {
            Some((tokens, fork)) => {
                if let Some(old) = held.cache.replace(fork) {
                    executor.drop_cache(old);
                }
                (fork, tokens)
            }
            None => match held.cache {
                Some(cache) => (cache, own),
                None => (*held.cache.insert(executor.create_cache()?), 0),
            },
        };
        held.tokens = prompt[..reused].to_vec();
        held.cached = reused;
        held.adapters = adapters;
        Ok(Entry { cache, reused })
    }

    /// How many tokens a session's cache holds.
    pub(crate) fn cached(&self, session: &Session) -> usize {
        self.sessions.held.get(&session.number).map_or(0, |held| held.cached)
    }

    /// These tokens joined a session's cache.
    pub(crate) fn extend(&mut self, session: &Session, tokens: &[TokenId]) {
        if let Some(held) = self.sessions.held.get_mut(&session.number) {
            held.tokens.truncate(held.cached);
            held.tokens.extend_from_slice(tokens);
            held.cached = held.tokens.len();
        }
    }

    /// What a session's cache holds is doubtful.
    pub(crate) fn distrust(&mut self, session: &Session) {
        if let Some(held) = self.sessions.held.get_mut(&session.number) {
            held.cached = 0;
        }
    }
}

/// How far two texts are the same.
fn common(one: &[TokenId], other: &[TokenId]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
