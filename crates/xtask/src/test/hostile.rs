//! Counting what the hostile cases say of themselves.

use std::fmt;

/// The counts of all runs together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Counts {
    cases: u64,
    errors: u64,
    panics: u64,
    hangs: u64,
    peak: u64,
    /// The slowest case in milliseconds; long ones, which may take longer, are not looked at.
    slowest: f64,
    slowest_name: String,
}

impl Counts {
    /// Reads a line such as `hostile gguf: 99 cases, 99 errors, 0 panics, 0 hangs, …, peak 64 KiB (…)`; others are
    /// passed over.
    pub(super) fn line(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("hostile ").and_then(|line| line.split_once(": ")) else { return };
        let before = |word: &str| {
            let count = counts.split(", ").find_map(|part| part.strip_suffix(word));
            count.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        self.cases += before("cases");
        self.errors += before("errors");
        self.panics += before("panics");
        self.hangs += before("hangs");
        let peak = counts.rsplit_once("peak ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        self.peak = self.peak.max(peak.unwrap_or(0));
        let slowest = counts.split_once(", slowest ").and_then(|(_, rest)| rest.split_once(" ms ("));
        if let Some((Ok(time), rest)) = slowest.map(|(time, rest)| (time.parse::<f64>(), rest))
            && time > self.slowest
        {
            self.slowest = time;
            rest.split("), ").next().unwrap_or_default().clone_into(&mut self.slowest_name);
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "hostile: {} cases, {} errors, {} panics, {} hangs, peak memory {} KiB, slowest case {:.1} ms ({})",
            self.cases, self.errors, self.panics, self.hangs, self.peak, self.slowest, self.slowest_name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_added_and_the_peak_is_the_highest() {
        let mut counts = Counts::default();
        counts.line("hostile gguf: 99 cases, 98 errors, 0 panics, 1 hangs, slowest 1.2 ms (a, b), peak 64 KiB (c: d)");
        counts
            .line("hostile text flips: 1 cases, 1 errors, 2 panics, 0 hangs, slowest 9.0 ms (flip 3), peak 12 KiB ()");
        counts.line("hostile long texts: 2 cases, 0 errors, 0 panics, 0 hangs, slowest of more than 64 KiB 80.0 ms (x), peak 9 KiB (y)");
        counts.line("test hostile ... ok");
        let slowest_name = "flip 3".to_owned();
        assert_eq!(
            counts,
            Counts { cases: 102, errors: 99, panics: 2, hangs: 1, peak: 64, slowest: 9.0, slowest_name }
        );
    }
}
