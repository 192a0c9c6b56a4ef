//! Conversations side by side: whoever asks sends the whole of one, and the session that holds most of it answers.

use nearside_engine::backend::TokenId;
use nearside_engine::{Engine, EngineError, Session};

/// How many conversations are kept, one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many.
    pub conversations: usize,
    /// And in so many bytes of keys and values, each conversation counted as if it filled the context.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { conversations: 4, bytes: 256 << 20 }
    }
}

/// Tokens that a prompt ends with to have the model answer, and that need not stand there in the next turn.
const CUE: usize = 8;
/// A copy of fewer tokens than this saves nothing.
const LEAST_COPY: usize = 16;

/// The sessions of an engine that are kept for what is asked next. Those used last are kept.
#[derive(Debug)]
pub struct Conversations {
    limits: Limits,
    /// The one used last at the end.
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    session: Session,
    /// What it was asked last. Its cache holds more, the answer, or less where a conversation outgrew the context.
    asked: Vec<TokenId>,
}

impl Kept {
    /// Whether a prompt is a further turn, or wants another answer to the same one.
    fn goes_on(&self, prompt: &[TokenId]) -> bool {
        common(&self.asked, prompt) + CUE.min(self.asked.len() / 4) >= self.asked.len()
    }
}

impl Conversations {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, kept: Vec::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Keeps a session that nobody has used yet, for the next conversation.
    pub fn keep(&mut self, session: Session) {
        self.kept.push(Kept { session, asked: Vec::new() });
    }

    /// The session to answer `prompt` in: the one whose conversation this goes on with; else a new one, with a copy of
    /// what another has in common with it; else the one that was used longest ago. It fails only where there is no
    /// session at all and none can be had.
    pub fn session(&mut self, engine: &mut Engine, prompt: &[TokenId]) -> Result<&mut Session, EngineError> {
        let most = self.most(engine);
        let going_on = self.kept.iter().enumerate().filter(|(_, kept)| kept.goes_on(prompt));
        let session = match going_on.max_by_key(|(_, kept)| kept.asked.len()) {
            Some((index, _)) => self.kept.remove(index).session,
            None => self.begin(engine, prompt, most)?,
        };
        while self.kept.len() >= most {
            engine.close_session(self.kept.remove(0).session);
        }
        let index = self.kept.len();
        self.kept.push(Kept { session, asked: prompt.to_vec() });
        Ok(&mut self.kept[index].session)
    }

    /// Closes all, and keeps no more than one from now on. Says whether that made room.
    pub fn give_way(&mut self, engine: &mut Engine) -> bool {
        let several = self.kept.len() > 1;
        self.limits.conversations = 1;
        for Kept { session, .. } in self.kept.drain(..) {
            engine.close_session(session);
        }
        several
    }

    fn most(&self, engine: &Engine) -> usize {
        let fitting = usize::try_from(self.limits.bytes / engine.session_bytes().max(1)).unwrap_or(usize::MAX);
        self.limits.conversations.min(fitting).max(1)
    }

    /// A session for another conversation, when there may be so many.
    fn begin(&mut self, engine: &mut Engine, prompt: &[TokenId], most: usize) -> Result<Session, EngineError> {
        let alike = |kept: &Kept| common(engine.session_tokens(&kept.session), prompt);
        let best = self.kept.iter().enumerate().map(|(index, kept)| (alike(kept), index)).max();
        let mut best = best.filter(|(common, _)| *common >= LEAST_COPY);
        // Room is made before more is taken.
        while self.kept.len() >= most {
            let oldest = self.kept.remove(0).session;
            match &mut best {
                Some((_, 0)) => return Ok(oldest),
                Some((_, index)) => *index -= 1,
                None => {}
            }
            if self.kept.len() + 1 == most && best.is_none() {
                return Ok(oldest);
            }
            engine.close_session(oldest);
        }
        let begun = match best {
            Some((common, index)) => engine.fork_session(&self.kept[index].session, common),
            None => engine.create_session(),
        };
        match begun {
            Err(_) if !self.kept.is_empty() => Ok(self.kept.remove(0).session),
            begun => begun,
        }
    }
}

/// How far two texts are the same.
fn common(one: &[TokenId], other: &[TokenId]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
