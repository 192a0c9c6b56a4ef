//! One line on stderr that says how far long work is, where someone can see it.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Often enough to look alive, seldom enough to cost nothing.
const INTERVAL: Duration = Duration::from_millis(100);

/// A line that overwrites itself and is gone when dropped. Silent where stderr is not a terminal.
pub(crate) struct Progress {
    visible: bool,
    shown: Option<Instant>,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Self {
        Self { visible: std::io::stderr().is_terminal(), shown: None }
    }

    /// Shows what `line` says, unless the last line is too fresh to be read.
    pub(crate) fn show(&mut self, line: impl FnOnce() -> String) {
        if !self.visible || self.shown.is_some_and(|shown| shown.elapsed() < INTERVAL) {
            return;
        }
        self.shown = Some(Instant::now());
        // A terminal that went away is no reason to stop the work.
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", line());
        let _ = std::io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}
