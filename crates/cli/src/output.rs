//! Standard output, where a reader that left is not an error.

use std::io::Write;

use serde::Serialize;

use crate::failure::Failure;

/// Writes text as it is and makes it visible.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::System { what: "writing to standard output".to_owned(), reason: error.to_string() },
    })
}

/// Writes a value as JSON on lines of its own.
pub(crate) fn write_json(value: &impl Serialize) -> Result<(), Failure> {
    write(&(to_json(serde_json::to_string_pretty(value))? + "\n"))
}

/// Writes a value as JSON on one line.
pub(crate) fn write_json_line(value: &impl Serialize) -> Result<(), Failure> {
    write(&(to_json(serde_json::to_string(value))? + "\n"))
}

fn to_json(result: serde_json::Result<String>) -> Result<String, Failure> {
    result.map_err(|error| Failure::System { what: "writing JSON".to_owned(), reason: error.to_string() })
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_keep_to_three_digits_before_the_point() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(1000), "1.0 kB");
        assert_eq!(size(999_960), "1.0 MB");
        assert_eq!(size(98_362_432), "98.4 MB");
        assert_eq!(size(u64::MAX), "18446744.1 TB");
    }
}
