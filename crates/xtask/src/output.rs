//! What a chore prints: steps with their time, and other programs' lines with a prefix.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Result;

const COLOURS: [&str; 6] = ["36", "33", "35", "32", "34", "31"];

/// Whether steps and lines go to the error output, so that the ordinary one carries a result alone.
static ASIDE: AtomicBool = AtomicBool::new(false);

/// From now on only [`result`] writes to the ordinary output.
pub(crate) fn keep_for_result() {
    ASIDE.store(true, Ordering::Relaxed);
}

fn coloured() -> bool {
    let terminal =
        if ASIDE.load(Ordering::Relaxed) { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    terminal && std::env::var_os("NO_COLOR").is_none()
}

/// A closed pipe is nobody listening, which is no reason to stop the work.
fn write(text: &str) {
    if ASIDE.load(Ordering::Relaxed) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    } else {
        result(text);
    }
}

/// Prints what a program asked for.
pub(crate) fn result(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Prints one line of a program, with the program's name before it.
pub(crate) fn line(prefix: &str, text: &str) {
    if coloured() {
        let colour = COLOURS[prefix.bytes().map(usize::from).sum::<usize>() % COLOURS.len()];
        write(&format!("\u{1b}[{colour}m{prefix:>10}\u{1b}[0m │ {text}"));
    } else {
        write(&format!("{prefix:>10} | {text}"));
    }
}

/// Prints one line of our own.
pub(crate) fn say(text: &str) {
    write(text);
}

/// A time as people read it.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 90.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

/// Does one step and prints how it ended and how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(&format!("  start  {name}"));
    let start = Instant::now();
    let result = work();
    let word = if result.is_ok() { "   done" } else { " FAILED" };
    say(&format!("{word}  {name} ({})", duration(start.elapsed())));
    result
}

/// A byte count as people read it.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    for (size, unit) in UNITS {
        if count >= size {
            return format!("{:.1} {unit}", count as f64 / size as f64);
        }
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_times_read_well() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(98_362_432), "98.4 MB");
        assert_eq!(duration(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 05 s");
    }
}
