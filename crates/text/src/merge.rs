//! Merging adjacent pieces, best pair first, which is what both families of tokenizer do.

use std::cmp::Reverse;
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
}

impl Symbol {
    /// The bytes of the text it covers.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.length) as usize
    }
}

/// A pair that could be merged. The greatest comes first: highest priority, then leftmost.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<P> {
    priority: P,
    left: Reverse<u32>,
    right: u32,
    length: u32,
    id: u32,
}

/// The working memory, kept from word to word.
pub(crate) struct Merger<P> {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Candidate<P>>,
}

impl<P: Ord> Merger<P> {
    pub(crate) fn new() -> Self {
        Self { symbols: Vec::new(), queue: BinaryHeap::new() }
    }

    /// Begins a new word.
    pub(crate) fn clear(&mut self) {
        self.symbols.clear();
        self.queue.clear();
    }

    /// Appends the word's next smallest piece.
    pub(crate) fn push(&mut self, start: usize, length: usize, id: u32) {
        let index = self.symbols.len() as u32;
        if let Some(last) = self.symbols.last_mut() {
            last.next = index;
        }
        let previous = if index == 0 { NONE } else { index - 1 };
        self.symbols.push(Symbol { start: start as u32, length: length as u32, id, previous, next: NONE });
    }

    /// Merges until no pair can be; `join` says what two neighbours would become, and how early.
    pub(crate) fn merge(
        &mut self,
        join: impl Fn(&Symbol, &Symbol) -> Option<(P, u32)>,
    ) -> impl Iterator<Item = &Symbol> {
        for right in 1..self.symbols.len() as u32 {
            self.offer(right - 1, right, &join);
        }
        while let Some(best) = self.queue.pop() {
            let (left, right) = (best.left.0 as usize, best.right as usize);
            let (into, from) = (self.symbols[left], self.symbols[right]);
            // Since it was offered one of the two may have been merged away or have grown.
            if into.length == 0 || from.length == 0 || into.length + from.length != best.length {
                continue;
            }
            self.symbols[left] = Symbol { length: best.length, id: best.id, next: from.next, ..into };
            self.symbols[right].length = 0;
            if from.next != NONE {
                self.symbols[from.next as usize].previous = best.left.0;
                self.offer(best.left.0, from.next, &join);
            }
            if into.previous != NONE {
                self.offer(into.previous, best.left.0, &join);
            }
        }
        self.symbols.iter().filter(|symbol| symbol.length > 0)
    }

    fn offer(&mut self, left: u32, right: u32, join: &impl Fn(&Symbol, &Symbol) -> Option<(P, u32)>) {
        let (one, two) = (&self.symbols[left as usize], &self.symbols[right as usize]);
        if let Some((priority, id)) = join(one, two) {
            let length = one.length + two.length;
            self.queue.push(Candidate { priority, left: Reverse(left), right, length, id });
        }
    }
}
