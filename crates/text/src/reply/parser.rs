//! Taking an answer apart while it is written.

use super::calls::{self, Body, KEYS};
use super::format::{Marks, ReplyFormat};
use super::pythonic;
use super::scan::Scan;
use crate::ToolCall;

/// The longest call; what is longer is given out as text.
const CALL_LIMIT: usize = 256 << 10;
/// How many closing marks a call may hold in its texts.
const TRIES: usize = 8;
/// Where a call without marks has shown itself as one.
const HEAD: usize = 256;
/// White space that may yet turn out to stand before a mark, and so to be no part of the text.
const SPACE_LIMIT: usize = 64;
/// Where models that were never taught a form put calls: a fenced block.
const FENCE: &str = "```";
const CLOSING: &str = "\n```";
const FENCES: [&str; 5] = ["```json", "```tool_code", "```tool_call", "```python", "```"];

/// Something that the model did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyEvent {
    /// It said this, after what it said before.
    Content(String),
    /// It thought this, after what it thought before.
    Thinking(String),
    /// It calls a tool. The id is empty where the model gives none.
    Call(ToolCall),
}

#[derive(Debug, Clone)]
enum State {
    /// Nothing has been said since the beginning, or since the last thought.
    Start,
    Content,
    Thinking {
        close: &'static str,
        begun: bool,
    },
    Call(Marks),
    /// A value without marks that may be a call.
    Bare(Scan),
}

/// Takes an answer apart while it is written.
#[derive(Debug, Clone)]
pub struct ReplyParser {
    format: ReplyFormat,
    tools: Vec<String>,
    state: State,
    /// What is not decided yet.
    pending: String,
    /// How much of it has been searched.
    searched: usize,
    /// How many closing marks did not close the call.
    tries: usize,
    /// Whether white space that comes next follows a thought or a call.
    after_thought: bool,
    /// Whether what separates calls may come next.
    after_bare: bool,
    /// Whether what was given out last was white space, too much of it to be held back.
    spilled: bool,
}

impl ReplyParser {
    /// A parser for one answer. Calls are looked for only if there are `tools`, given by their names; `prompt` is
    /// the text before the answer, because some templates open a thought there.
    pub fn new<T: Into<String>>(format: &ReplyFormat, tools: impl IntoIterator<Item = T>, prompt: &str) -> Self {
        let state = match format.opened_by(prompt) {
            Some(close) => State::Thinking { close, begun: false },
            None => State::Start,
        };
        let mut format = format.clone();
        let tools: Vec<String> = tools.into_iter().map(Into::into).collect();
        if tools.is_empty() {
            format.calls.clear();
        }
        Self {
            format,
            tools,
            state,
            pending: String::new(),
            searched: 0,
            tries: 0,
            after_thought: false,
            after_bare: false,
            spilled: false,
        }
    }

    /// Takes the next piece of text; what it decides, which may be nothing.
    pub fn push(&mut self, text: &str) -> Vec<ReplyEvent> {
        self.pending.push_str(text);
        let mut events = Vec::new();
        while self.step(&mut events) {}
        events
    }

    /// What is left when the answer is over.
    pub fn finish(mut self) -> Vec<ReplyEvent> {
        let mut events = Vec::new();
        let text = std::mem::take(&mut self.pending);
        match &self.state {
            State::Start if self.after_thought => say(&mut events, text.trim_start()),
            State::Start | State::Content => say(&mut events, &text),
            State::Thinking { begun, .. } => {
                let text = if *begun { text.as_str() } else { text.trim_start() };
                think(&mut events, text.trim_end());
            }
            State::Call(marks) => match calls::read(marks.open, &text) {
                Body::Calls(calls) => events.extend(calls.into_iter().map(ReplyEvent::Call)),
                Body::Unfinished | Body::Other => say(&mut events, &format!("{}{text}", marks.open)),
            },
            State::Bare(_) => match self.bare_calls(&text) {
                Some(calls) => events.extend(calls.into_iter().map(ReplyEvent::Call)),
                None => say(&mut events, &text),
            },
        }
        events
    }

    /// Decides something, if there is something to decide.
    fn step(&mut self, events: &mut Vec<ReplyEvent>) -> bool {
        match self.state.clone() {
            State::Start => self.start(),
            State::Content => self.content(events),
            State::Thinking { close, begun } => self.thinking(close, begun, events),
            State::Call(marks) => self.call(marks, events),
            State::Bare(scan) => self.bare(scan, events),
        }
    }

    fn start(&mut self) -> bool {
        let space = self.pending.len() - self.pending.trim_start().len();
        if self.after_bare {
            let rest = self.pending.trim_start_matches(|next: char| next.is_whitespace() || ";,".contains(next));
            self.pending = rest.to_owned();
        } else if self.after_thought {
            self.pending.drain(..space);
        } else if space > SPACE_LIMIT {
            self.state = State::Content;
            return true;
        }
        let text = self.pending.trim_start();
        if text.is_empty() {
            return false;
        }
        self.after_bare = false;
        let opening = self.format.thinking.iter().chain(&self.format.calls).map(|marks| marks.open);
        let opening = opening.chain(self.format.wrappers.iter().copied());
        if let Some(marks) = self.format.thinking.iter().find(|marks| text.starts_with(marks.open)) {
            let (close, skip) = (marks.close, self.pending.len() - text.len() + marks.open.len());
            self.pending.drain(..skip);
            self.state = State::Thinking { close, begun: false };
            return true;
        }
        if let Some(wrapper) = self.format.wrappers.iter().find(|wrapper| text.starts_with(**wrapper)) {
            self.pending.drain(..self.pending.len() - text.len() + wrapper.len());
            self.after_thought = true;
            return true;
        }
        let mut opening = opening.chain((!self.tools.is_empty()).then_some(FENCE));
        if opening.any(|mark| mark.starts_with(text) && mark != text) {
            return false;
        }
        let bare = !self.tools.is_empty() && (text.starts_with(['{', '[']) || text.starts_with(FENCE));
        let marked = self.format.calls.iter().any(|marks| text.starts_with(marks.open));
        self.state = if bare && !marked { State::Bare(Scan::default()) } else { State::Content };
        self.searched = 0;
        true
    }

    fn content(&mut self, events: &mut Vec<ReplyEvent>) -> bool {
        let calls = self.format.calls.iter().filter_map(|marks| Some((self.pending.find(marks.open)?, Some(*marks))));
        let wrappers = self.format.wrappers.iter().filter_map(|mark| Some((self.pending.find(mark)?, None)));
        let first = calls.chain(wrappers).min_by_key(|(at, _)| *at);
        let Some((at, marks)) = first else {
            let marks = self.format.calls.iter().map(|marks| marks.open);
            let marks: Vec<&str> = marks.chain(self.format.wrappers.iter().copied()).collect();
            let give = self.pending.len() - self.held(&marks);
            say(events, self.give(give).as_str());
            return false;
        };
        say(events, &self.pending[..at - self.space_before(at)]);
        self.spilled = false;
        let length = match marks {
            Some(marks) => {
                self.state = State::Call(marks);
                self.tries = 0;
                marks.open.len()
            }
            None => {
                self.format.wrappers.iter().find(|mark| self.pending[at..].starts_with(**mark)).map_or(0, |m| m.len())
            }
        };
        self.pending.drain(..at + length);
        self.searched = 0;
        true
    }

    fn thinking(&mut self, close: &'static str, mut begun: bool, events: &mut Vec<ReplyEvent>) -> bool {
        if !begun {
            let space = self.pending.len() - self.pending.trim_start().len();
            self.pending.drain(..space);
            begun = !self.pending.is_empty();
        }
        if let Some(at) = self.pending.find(close) {
            think(events, &self.pending[..at - self.space_before(at)]);
            self.spilled = false;
            self.pending.drain(..at + close.len());
            self.state = State::Start;
            self.after_thought = true;
            return true;
        }
        let give = self.pending.len() - self.held(&[close]);
        think(events, self.give(give).as_str());
        self.state = State::Thinking { close, begun };
        false
    }

    fn call(&mut self, marks: Marks, events: &mut Vec<ReplyEvent>) -> bool {
        let close = (!marks.close.is_empty()).then(|| self.pending[self.searched..].find(marks.close)).flatten();
        let Some(at) = close.map(|at| at + self.searched).filter(|at| *at <= CALL_LIMIT) else {
            if self.pending.len() > CALL_LIMIT {
                return self.not_a_call(marks, self.pending.len(), events);
            }
            // The mark may begin in what is there; a byte within a character is no place to search from.
            let mut from = self.pending.len().saturating_sub(marks.close.len());
            while !self.pending.is_char_boundary(from) {
                from -= 1;
            }
            self.searched = from.max(self.searched);
            return false;
        };
        let end = at + marks.close.len();
        match calls::read(marks.open, &self.pending[..at]) {
            Body::Calls(calls) => {
                events.extend(calls.into_iter().map(ReplyEvent::Call));
                self.pending.drain(..end);
                self.searched = 0;
                self.state = State::Start;
                self.after_thought = true;
                true
            }
            // The mark stands within one of the call's own texts.
            Body::Unfinished if self.tries < TRIES => {
                self.tries += 1;
                self.searched = end;
                true
            }
            Body::Unfinished | Body::Other => self.not_a_call(marks, end, events),
        }
    }

    /// Gives out as text what looked like a call.
    fn not_a_call(&mut self, marks: Marks, end: usize, events: &mut Vec<ReplyEvent>) -> bool {
        say(events, &format!("{}{}", marks.open, &self.pending[..end]));
        self.pending.drain(..end);
        self.searched = 0;
        self.state = State::Content;
        true
    }

    fn bare(&mut self, mut scan: Scan, events: &mut Vec<ReplyEvent>) -> bool {
        let text = self.pending.trim_start();
        let end = if text.starts_with(FENCE) {
            // The closing fence stands on a line of its own, so that the search never meets half of one.
            let from = text.floor_char_boundary(self.searched.max(FENCE.len()));
            text[from..].find(CLOSING).map(|at| from + at + CLOSING.len())
        } else {
            scan.end(&text.as_bytes()[self.searched..]).map(|at| at + self.searched)
        };
        if !self.may_be_call(text) {
            return self.bare_text();
        }
        if let Some(end) = end {
            let Some(calls) = self.bare_calls(&text[..end]) else { return self.bare_text() };
            events.extend(calls.into_iter().map(ReplyEvent::Call));
            self.pending = text[end..].to_owned();
            self.state = State::Start;
            self.searched = 0;
            (self.after_thought, self.after_bare) = (true, true);
            return true;
        }
        if self.pending.len() > CALL_LIMIT {
            return self.bare_text();
        }
        self.searched = if text.starts_with(FENCE) { text.len().saturating_sub(CLOSING.len()) } else { text.len() };
        self.state = State::Bare(scan);
        false
    }

    fn bare_text(&mut self) -> bool {
        self.state = State::Content;
        self.searched = 0;
        true
    }

    /// The calls of a value without marks, all of them to tools that there are.
    fn bare_calls(&self, text: &str) -> Option<Vec<ToolCall>> {
        let text = text.trim();
        let text = FENCES.iter().find_map(|fence| text.strip_prefix(fence)).unwrap_or(text);
        let text = text.trim_end_matches(FENCE).trim();
        let calls = match calls::json(text) {
            Body::Calls(calls) => calls,
            Body::Unfinished => return None,
            Body::Other => pythonic::calls(text)?,
        };
        calls.iter().all(|call| self.tools.contains(&call.name)).then_some(calls)
    }

    /// Takes the first `length` bytes, which are decided.
    fn give(&mut self, length: usize) -> String {
        let given: String = self.pending.drain(..length).collect();
        if !given.is_empty() {
            self.spilled = given.ends_with(char::is_whitespace);
        }
        given
    }

    /// How many bytes at the end may be part of a mark, or of the white space before one.
    fn held(&self, marks: &[&str]) -> usize {
        if marks.is_empty() {
            return 0;
        }
        let text = &self.pending;
        let begun = |mark: &&str| {
            let most = mark.len().min(text.len() + 1);
            let starts = (1..most).filter(|length| mark.is_char_boundary(*length));
            starts.rev().find(|length| text.ends_with(&mark[..*length]))
        };
        let mark = marks.iter().filter_map(begun).max().unwrap_or(0);
        mark + self.space_before(text.len() - mark)
    }

    /// How much white space before a place is no part of the text if a mark follows there.
    fn space_before(&self, place: usize) -> usize {
        let before = &self.pending[..place];
        let space = before.len() - before.trim_end().len();
        let spilled = self.spilled && space == before.len();
        if spilled || space > SPACE_LIMIT { 0 } else { space }
    }

    /// Whether a value that has begun like this can become a call.
    fn may_be_call(&self, text: &str) -> bool {
        let text = &text[..text.floor_char_boundary(HEAD)];
        let text = match text.strip_prefix(FENCE) {
            None => text,
            Some(fenced) => match fenced.split_once('\n') {
                None => return FENCES.iter().any(|fence| fence[FENCE.len()..].starts_with(fenced.trim_end())),
                Some((word, inner)) if FENCES.iter().any(|fence| fence[FENCE.len()..] == *word.trim_end()) => inner,
                Some(_) => return false,
            },
        };
        let inner = text.trim_start_matches(|character: char| character.is_whitespace() || "[{".contains(character));
        if text.len() - inner.len() >= HEAD / 2 {
            return false;
        }
        let names = |whole: bool, word: &str, name: &str| if whole { name == word } else { name.starts_with(word) };
        if let Some(key) = inner.strip_prefix('"') {
            let (key, whole) = key.split_once('"').map_or((key, false), |(key, _)| (key, true));
            return KEYS.iter().any(|known| names(whole, key, known));
        }
        let (word, whole) = inner.split_once('(').map_or((inner, false), |(word, _)| (word, true));
        self.tools.iter().any(|tool| names(whole, word, tool))
    }
}

fn say(events: &mut Vec<ReplyEvent>, text: &str) {
    match events.last_mut() {
        _ if text.is_empty() => {}
        Some(ReplyEvent::Content(before)) => before.push_str(text),
        _ => events.push(ReplyEvent::Content(text.to_owned())),
    }
}

fn think(events: &mut Vec<ReplyEvent>, text: &str) {
    match events.last_mut() {
        _ if text.is_empty() => {}
        Some(ReplyEvent::Thinking(before)) => before.push_str(text),
        _ => events.push(ReplyEvent::Thinking(text.to_owned())),
    }
}
