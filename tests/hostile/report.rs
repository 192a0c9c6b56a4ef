//! Runs hostile cases and counts what came of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Longer than any case may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(crate) struct Report {
    cases: usize,
    errors: usize,
    failures: Vec<String>,
    slowest: (Duration, String),
}

impl Report {
    /// Runs one case that may be fine or an error, and gives back its error's words.
    pub(crate) fn run<T, E: ToString>(&mut self, name: &str, case: impl FnOnce() -> Result<T, E>) -> Option<String> {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| case().map(drop).map_err(|error| error.to_string())));
        let taken = start.elapsed();
        self.cases += 1;
        if taken > self.slowest.0 {
            self.slowest = (taken, name.to_owned());
        }
        match result {
            Ok(Ok(())) => None,
            Ok(Err(words)) => {
                self.errors += 1;
                Some(words)
            }
            Err(_) => {
                self.failures.push(format!("{name}: panicked"));
                None
            }
        }
    }

    /// Runs one case that must be an error which says `expected`.
    pub(crate) fn refuses<T, E: ToString>(&mut self, name: &str, expected: &str, case: impl FnOnce() -> Result<T, E>) {
        let failures = self.failures.len();
        match self.run(name, case) {
            Some(words) if words.contains(expected) => {}
            Some(words) => self.failures.push(format!("{name}: says {words:?}, not {expected:?}")),
            None if self.failures.len() == failures => self.failures.push(format!("{name}: accepted")),
            None => {}
        }
    }

    /// Prints the count and fails if anything went wrong.
    pub(crate) fn finish(self, what: &str) {
        let panics = self.failures.iter().filter(|failure| failure.ends_with("panicked")).count();
        let (slowest, name) = &self.slowest;
        eprintln!(
            "hostile {what}: {} cases, {} errors, {panics} panics, slowest {:.1} ms ({name})",
            self.cases,
            self.errors,
            slowest.as_secs_f64() * 1e3
        );
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        assert!(*slowest < PATIENCE, "{name} took {slowest:?}");
    }
}

/// A xorshift sequence: the same cases in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// The same bytes but for one to four of them; half the time a byte becomes one that means much.
    pub(crate) fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let place = self.below(bytes.len());
            bytes[place] = match self.below(6) {
                0 => 0,
                1 => 0xff,
                2 => 0x80,
                3 => bytes[place].wrapping_add(1),
                _ => self.next() as u8,
            };
        }
        bytes
    }
}
