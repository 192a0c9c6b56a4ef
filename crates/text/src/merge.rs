//! Merging adjacent pieces, best pair first, which is what both families of tokenizer do.

use std::collections::BinaryHeap;

/// A piece of the text that has no token of its own, so far.
pub(crate) const NO_TOKEN: u32 = u32::MAX;

const NONE: u32 = u32::MAX;

/// A stretch of the text, linked to its neighbours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Symbol {
    /// Where it begins.
    pub(crate) start: u32,
    /// How long it is; 0 once it has been merged into the one before.
    pub(crate) length: u32,
    /// Its token.
    pub(crate) id: u32,
    previous: u32,
    next: u32,
    /// What it becomes together with the next, and how early; [`NO_TOKEN`] where the two make none.
    joined: u32,
    priority: u32,
}

impl Symbol {
    /// The bytes of the text it covers.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.length) as usize
    }
}

/// A pair that could be merged, by its left symbol. The greatest comes first: highest priority, then leftmost. One
/// number, because a long word has millions of them and the queue is most of the work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate(u64);

impl Candidate {
    fn new(priority: u32, left: u32) -> Self {
        Self(u64::from(priority) << 32 | u64::from(!left))
    }

    fn priority(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn left(self) -> usize {
        !(self.0 as u32) as usize
    }
}

/// The working memory, kept from word to word.
pub(crate) struct Merger {
    symbols: Vec<Symbol>,
    /// The pairs of the word as it begins, the best at the end: to sort them once takes less than a queue.
    first: Vec<Candidate>,
    /// The pairs that merging made.
    queue: BinaryHeap<Candidate>,
}

impl Merger {
    pub(crate) fn new() -> Self {
        Self { symbols: Vec::new(), first: Vec::new(), queue: BinaryHeap::new() }
    }

    /// Begins a new word of so many pieces at most.
    pub(crate) fn begin(&mut self, pieces: usize) {
        self.symbols.clear();
        self.first.clear();
        self.queue.clear();
        self.symbols.reserve(pieces);
    }

    /// Appends the word's next smallest piece.
    pub(crate) fn push(&mut self, start: usize, length: usize, id: u32) {
        let index = self.symbols.len() as u32;
        if let Some(last) = self.symbols.last_mut() {
            last.next = index;
        }
        let previous = if index == 0 { NONE } else { index - 1 };
        let (start, length) = (start as u32, length as u32);
        self.symbols.push(Symbol { start, length, id, previous, next: NONE, joined: NO_TOKEN, priority: 0 });
    }

    /// Merges until no pair can be; `join` says how early two neighbours merge, greater is earlier, and into what.
    pub(crate) fn merge(
        &mut self,
        join: impl Fn(&Symbol, &Symbol) -> Option<(u32, u32)>,
    ) -> impl Iterator<Item = &Symbol> {
        for left in 0..(self.symbols.len() as u32).saturating_sub(1) {
            let candidate = self.look(left, &join);
            self.first.extend(candidate);
        }
        self.first.sort_unstable();
        while let Some(best) = self.best() {
            let into = self.symbols[best.left()];
            // Since it was offered it may have been merged away, or its neighbour has become another.
            if into.length == 0 || into.joined == NO_TOKEN || into.priority != best.priority() {
                continue;
            }
            let from = self.symbols[into.next as usize];
            self.symbols[into.next as usize].length = 0;
            self.symbols[best.left()] =
                Symbol { length: into.length + from.length, id: into.joined, next: from.next, ..into };
            let left = best.left() as u32;
            if from.next != NONE {
                self.symbols[from.next as usize].previous = left;
            }
            let candidate = self.look(left, &join);
            self.queue.extend(candidate);
            if into.previous != NONE {
                let candidate = self.look(into.previous, &join);
                self.queue.extend(candidate);
            }
        }
        self.symbols.iter().filter(|symbol| symbol.length > 0)
    }

    fn best(&mut self) -> Option<Candidate> {
        if self.first.last() >= self.queue.peek() { self.first.pop() } else { self.queue.pop() }
    }

    /// Writes down what a symbol becomes with its neighbour.
    fn look(&mut self, left: u32, join: &impl Fn(&Symbol, &Symbol) -> Option<(u32, u32)>) -> Option<Candidate> {
        let one = &self.symbols[left as usize];
        let two = (one.next != NONE).then(|| &self.symbols[one.next as usize]);
        let found = two.and_then(|two| join(one, two));
        let (priority, joined) = found.unwrap_or((0, NO_TOKEN));
        let one = &mut self.symbols[left as usize];
        (one.priority, one.joined) = (priority, joined);
        found.map(|_| Candidate::new(priority, left))
    }
}
