//! Runs hostile cases one at a time and counts what came of them: errors, panics, hangs, time and memory.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a case may take of a processor's time, and how much more for each byte of what it is given.
const TIME: Duration = Duration::from_millis(50);
const TIME_PER_BYTE: Duration = Duration::from_nanos(800);
/// What is longer than this is told apart: its time is in proportion to it.
const LONG: usize = 64 << 10;
/// A case that takes longer than this hangs.
const HANG: Duration = Duration::from_secs(20);
/// What a case may hold at once (a splitter's compiled expression has most of it), and how much more for each byte of what it is given.
const HELD: usize = 1 << 20;
const HELD_PER_BYTE: usize = 24;

/// One case at a time, because all threads share the count of memory.
static TURN: Mutex<()> = Mutex::new(());
/// The case under way, what it is one of, and since when.
static UNDER_WAY: Mutex<Option<(&'static str, String, Instant)>> = Mutex::new(None);

fn under_way() -> MutexGuard<'static, Option<(&'static str, String, Instant)>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the program when a case does not end by itself. What has no threads does without.
fn watch() {
    static STARTED: Once = Once::new();
    let watch = || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            if let Some((what, name, since)) = under_way().as_ref()
                && since.elapsed() > 2 * HANG
            {
                let line = format!("hostile {what}: 1 cases, 0 errors, 0 panics, 1 hangs, peak 0 KiB ({name})\n");
                // Not the macro: what it prints in a test is shown when the test ends.
                let _ = std::io::stderr().write_all(line.as_bytes());
                std::process::exit(1);
            }
        }
    };
    if !cfg!(target_family = "wasm") {
        STARTED.call_once(|| drop(std::thread::spawn(watch)));
    }
}

/// What came of the cases.
pub(crate) struct Report {
    what: &'static str,
    cases: usize,
    errors: usize,
    panics: usize,
    hangs: usize,
    failures: Vec<String>,
    slowest: (Duration, String),
    /// Of those that are given more than [`LONG`].
    slowest_long: (Duration, String),
    largest: (usize, String),
    /// What a case may hold in any event.
    held: usize,
    _turn: MutexGuard<'static, ()>,
}

impl Report {
    pub(crate) fn new(what: &'static str) -> Self {
        watch();
        Self {
            what,
            cases: 0,
            errors: 0,
            panics: 0,
            hangs: 0,
            failures: Vec::new(),
            slowest: (Duration::ZERO, String::new()),
            slowest_long: (Duration::ZERO, String::new()),
            largest: (0, String::new()),
            held: HELD,
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Lets cases hold so many bytes, whatever they are given.
    pub(crate) fn holding(self, held: usize) -> Self {
        Self { held, ..self }
    }

    /// Runs one case that is given `input` bytes and may be fine or an error, and gives back its error's words.
    pub(crate) fn run<T, E: ToString>(
        &mut self,
        name: &str,
        input: usize,
        case: impl FnOnce() -> Result<T, E>,
    ) -> Option<String> {
        self.cases += 1;
        *under_way() = Some((self.what, name.to_owned(), Instant::now()));
        MEMORY.reset_peak_usage();
        let (before, start, started) = (MEMORY.current_usage(), Instant::now(), processor_time());
        let result = catch_unwind(AssertUnwindSafe(|| case().map(drop).map_err(|error| error.to_string())));
        let held = MEMORY.peak_usage().saturating_sub(before);
        *under_way() = None;
        let taken = match (started, processor_time()) {
            (Some(started), Some(ended)) => ended.saturating_sub(started),
            _ => start.elapsed(),
        };
        let slowest = if input > LONG { &mut self.slowest_long } else { &mut self.slowest };
        if taken > slowest.0 {
            *slowest = (taken, name.to_owned());
        }
        if held > self.largest.0 {
            self.largest = (held, name.to_owned());
        }
        if start.elapsed() > HANG {
            self.hangs += 1;
            self.failures.push(format!("{name}: hangs"));
        }
        // Where only the clock on the wall can be read, other programs may have used the time.
        let patience = if started.is_some() { 1 } else { 20 };
        if taken > (TIME + TIME_PER_BYTE * input as u32) * patience {
            self.failures.push(format!("{name}: took {taken:?} for {input} bytes"));
        }
        if held > self.held + HELD_PER_BYTE * input {
            self.failures.push(format!("{name}: held {held} bytes for {input} bytes"));
        }
        match result {
            Ok(Ok(())) => None,
            Ok(Err(words)) => {
                self.errors += 1;
                Some(words)
            }
            Err(_) => {
                self.panics += 1;
                self.failures.push(format!("{name}: panicked"));
                None
            }
        }
    }

    /// Runs one case that must be an error which says `expected`.
    pub(crate) fn refuses<T, E: ToString>(
        &mut self,
        name: &str,
        expected: &str,
        input: usize,
        case: impl FnOnce() -> Result<T, E>,
    ) {
        let panics = self.panics;
        match self.run(name, input, case) {
            Some(words) if words.contains(expected) && words.lines().count() == 1 => {}
            Some(words) => self.failures.push(format!("{name}: says {words:?}, not {expected:?} in one line")),
            None if self.panics == panics => self.failures.push(format!("{name}: accepted")),
            None => {}
        }
    }

    /// Prints the count and fails if anything went wrong.
    pub(crate) fn finish(self) {
        let slow = [("", &self.slowest), (" of more than 64 KiB", &self.slowest_long)]
            .into_iter()
            .filter(|(_, (_, name))| !name.is_empty())
            .map(|(which, (time, name))| format!(", slowest{which} {:.1} ms ({name})", time.as_secs_f64() * 1e3))
            .collect::<Vec<_>>()
            .concat();
        let (largest, large) = &self.largest;
        eprintln!(
            "hostile {}: {} cases, {} errors, {} panics, {} hangs{slow}, peak {} KiB ({large})",
            self.what,
            self.cases,
            self.errors,
            self.panics,
            self.hangs,
            largest >> 10
        );
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
    }
}

/// The time that this thread had a processor, where the system tells.
fn processor_time() -> Option<Duration> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    account.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Keeps a case as a seed for fuzzing, where `NEARSIDE_SEEDS` names a folder.
pub(crate) fn seed(kind: &str, number: usize, bytes: &[u8]) {
    if let Some(folder) = std::env::var_os("NEARSIDE_SEEDS") {
        let folder = std::path::Path::new(&folder).join(kind);
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join(format!("hostile-{number}")), bytes));
        written.unwrap_or_else(|error| panic!("cannot write to {}: {error}", folder.display()));
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
