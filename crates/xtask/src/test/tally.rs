//! Counting what tests say, whichever runner says it.

/// How many tests ended how, and why some were skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Failed tests by name.
    pub(crate) failures: Vec<String>,
    /// Why tests were skipped, with how many for each reason.
    pub(crate) reasons: Vec<(String, u64)>,
}

impl Tally {
    /// Adds another tally.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
        for (reason, count) in other.reasons {
            self.because(&reason, count);
        }
    }

    /// Notes a failure of something that is not one test.
    pub(crate) fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failures.push(what);
    }

    /// Notes a skipped test.
    pub(crate) fn skip(&mut self, reason: &str) {
        self.skipped += 1;
        self.because(reason, 1);
    }

    /// Whether no test ran.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }

    fn because(&mut self, reason: &str, count: u64) {
        match self.reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, known)) => *known += count,
            None => self.reasons.push((reason.to_owned(), count)),
        }
    }

    /// The closing line, whose shape others rely on.
    pub(crate) fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Something that reads a runner's output line by line.
pub(crate) trait Reader: Default {
    fn line(&mut self, line: &str);
    fn finish(self) -> Tally;
}

/// Reads `cargo test -- --show-output`.
///
/// A test that finds nothing to test returns early and says `skipped: why`, which the runner counts as passed.
#[derive(Debug, Default)]
pub(crate) struct CargoReader {
    tally: Tally,
    /// Whether the lines are those of tests that passed.
    in_successes: bool,
    /// The test whose output the lines are.
    block: Option<String>,
    /// The tests of this run that skipped themselves.
    skipped_here: Vec<String>,
}

impl Reader for CargoReader {
    fn line(&mut self, line: &str) {
        if line == "successes:" || line == "failures:" {
            self.in_successes = line == "successes:";
            self.block = None;
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.block = Some(name.to_owned());
        } else if let Some(reason) = line.strip_prefix("skipped: ") {
            self.skipped(reason);
        } else if let Some(test) = line.strip_prefix("test ") {
            self.test(test);
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            self.result(result);
        }
    }

    fn finish(self) -> Tally {
        self.tally
    }
}

impl CargoReader {
    fn skipped(&mut self, reason: &str) {
        if let Some(name) = self.block.clone().filter(|_| self.in_successes)
            && !self.skipped_here.contains(&name)
        {
            self.skipped_here.push(name);
            self.tally.skip(reason);
        }
    }

    fn test(&mut self, test: &str) {
        if let Some(name) = test.strip_suffix(" ... FAILED") {
            self.tally.failures.push(name.to_owned());
        } else if let Some((name, end)) = test.split_once(" ... ignored") {
            let reason = end.strip_prefix(", ").map_or_else(|| format!("{name} is ignored"), str::to_owned);
            self.tally.skip(&reason);
        }
    }

    fn result(&mut self, result: &str) {
        let count = |word: &str| {
            let part = result.split(['.', ';']).map(str::trim).find(|part| part.ends_with(word));
            part.and_then(|part| part.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        self.tally.passed += count(" passed").saturating_sub(self.skipped_here.len() as u64);
        self.tally.failed += count(" failed");
        self.skipped_here.clear();
        self.in_successes = false;
        self.block = None;
    }
}

/// Reads `node --test`, in its spec and in its TAP form.
#[derive(Debug, Default)]
pub(crate) struct NodeReader {
    tally: Tally,
}

impl Reader for NodeReader {
    fn line(&mut self, line: &str) {
        let text = line.trim_start();
        if let Some(total) = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# ")) {
            self.total(total);
        } else if let Some(test) = text.strip_prefix("﹣ ") {
            // The reason follows a `#`; without one the test's name must do.
            let reason = test.split_once(" # ").map_or(test, |(_, reason)| reason);
            self.tally.because(reason.trim_start_matches("SKIP").trim(), 1);
        } else if let Some((_, reason)) = text.split_once(" # SKIP").filter(|_| text.starts_with("ok ")) {
            self.tally.because(reason.trim(), 1);
        } else if let Some(test) = text.strip_prefix("✖ ").filter(|test| *test != "failing tests:") {
            let name = test.rsplit_once(" (").map_or(test, |(name, _)| name).to_owned();
            // Failing tests are shown once where they fail and once more at the end.
            if !self.tally.failures.contains(&name) {
                self.tally.failures.push(name);
            }
        }
    }

    fn finish(self) -> Tally {
        self.tally
    }
}

impl NodeReader {
    fn total(&mut self, total: &str) {
        let Some((word, Ok(count))) = total.split_once(' ').map(|(word, count)| (word, count.trim().parse::<u64>()))
        else {
            return;
        };
        match word {
            "pass" => self.tally.passed += count,
            "fail" | "cancelled" => self.tally.failed += count,
            "skipped" | "todo" => self.tally.skipped += count,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<R: Reader>(text: &str) -> Tally {
        let mut reader = R::default();
        text.lines().for_each(|line| reader.line(line));
        reader.finish()
    }

    #[test]
    fn cargo_s_runs_are_added_and_early_returns_are_skipped() {
        let tally = read::<CargoReader>(
            "\
running 4 tests
test a ... ok
test b ... ok
test c ... ignored, takes an hour
test d ... FAILED

successes:

---- b stdout ----
skipped: no model
skipped: no model

successes:
    a
    b

failures:

---- d stdout ----
skipped: not counted, it failed

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 1 test
test e ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s
",
        );
        assert_eq!((tally.passed, tally.failed, tally.skipped), (2, 1, 2));
        assert_eq!(tally.failures, ["d"]);
        assert_eq!(tally.reasons, [("takes an hour".to_owned(), 1), ("no model".to_owned(), 1)]);
    }

    #[test]
    fn node_s_totals_in_both_forms() {
        let tally = read::<NodeReader>(
            "▶ group\n  ✔ one (1.2ms)\n  ﹣ two (0.1ms) # no adapter\n  ✖ three (3ms)\nℹ tests 3\nℹ pass 1\nℹ fail 1\n\
             ℹ cancelled 0\nℹ skipped 1\nℹ todo 0\n✖ failing tests:\n✖ three (3ms)\n",
        );
        assert_eq!((tally.passed, tally.failed, tally.skipped), (1, 1, 1));
        assert_eq!(tally.reasons, [("no adapter".to_owned(), 1)]);
        assert_eq!(tally.failures, ["three"]);

        let tally = read::<NodeReader>("ok 1 - a # SKIP no adapter\n# pass 4\n# fail 0\n# skipped 1\n");
        assert_eq!((tally.passed, tally.failed, tally.skipped), (4, 0, 1));
        assert_eq!(tally.reasons, [("no adapter".to_owned(), 1)]);
    }

    #[test]
    fn the_closing_line_has_its_shape() {
        let mut tally = Tally { passed: 3, ..Tally::default() };
        tally.fail("suite".to_owned());
        tally.skip("because");
        tally.add(Tally { skipped: 1, reasons: vec![("because".to_owned(), 1)], ..Tally::default() });
        assert_eq!(tally.summary(), "3 passed, 1 failed, 2 skipped");
        assert_eq!(tally.reasons, [("because".to_owned(), 2)]);
    }
}
