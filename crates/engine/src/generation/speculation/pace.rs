//! How far to look ahead, and when not to.

/// How much of the newest experience enters the confidence.
const WEIGHT: f32 = 0.2;
/// Looking ahead pays from here on: reading a row more costs less than a step, but not nothing.
const LEAST_CONFIDENCE: f32 = 0.45;
/// The last token foreseen should at least be this likely to be needed. Where processors are slow a row more costs a
/// third of a step.
const LEAST_USE: f32 = 0.4;
/// Rows that a step reads in one go: one or two, or so many at a time. The newest token's is one of them.
const ROWS: usize = 4;
/// As much as a step can choose.
pub(super) const MOST: usize = crate::backend::MAX_CHOICES - 1;
const SHORTEST_PAUSE: usize = 16;
const LONGEST_PAUSE: usize = 256;
/// The confidence of who knows nothing.
const CURIOUS: f32 = 0.5;
/// The confidence of who has good reasons.
const SURE: f32 = 0.85;

/// Learns from what was foreseen rightly how much to foresee. It has no clock: it knows how often tokens were right, not
/// what they cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How likely the next token foreseen is to be right.
    confidence: f32,
    /// Tokens to go plainly before another attempt.
    pause: usize,
    /// How long the next pause is.
    next_pause: usize,
}

impl Pace {
    /// For guesses.
    pub(super) fn curious() -> Self {
        Self { confidence: CURIOUS, pause: 0, next_pause: SHORTEST_PAUSE }
    }

    /// For what is likely from the beginning.
    pub(super) fn sure() -> Self {
        Self { confidence: SURE, ..Self::curious() }
    }

    /// Whether to look ahead.
    pub(super) fn pays(&self) -> bool {
        self.confidence >= LEAST_CONFIDENCE
    }

    /// How many tokens to foresee.
    pub(super) fn length(&self) -> usize {
        let length = (LEAST_USE.ln() / self.confidence.min(0.99).ln()) as usize;
        if length < ROWS - 2 {
            return 1;
        }
        // Three rows take as long as four.
        ((length + 1 + ROWS / 2) / ROWS * ROWS - 1).min(MOST)
    }

    /// So many of so many tokens foreseen were right; what comes behind the first wrong one does not count.
    pub(super) fn tell(&mut self, right: usize, foreseen: usize) {
        let paid = self.pays();
        for _ in 0..right {
            self.confidence += WEIGHT * (1.0 - self.confidence);
        }
        if right < foreseen {
            self.confidence -= WEIGHT * self.confidence;
        }
        if paid && !self.pays() {
            self.pause = self.next_pause;
            self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
        } else if right > 2 {
            self.next_pause = SHORTEST_PAUSE;
        }
    }

    /// So many tokens came.
    pub(super) fn pass(&mut self, tokens: usize) {
        if !self.pays() {
            self.pause = self.pause.saturating_sub(tokens);
            if self.pause == 0 {
                self.confidence = CURIOUS;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Pace};

    #[test]
    fn success_looks_further_and_failure_gives_up_for_longer_and_longer() {
        let mut pace = Pace::curious();
        let first = pace.length();
        for _ in 0..8 {
            pace.tell(pace.length(), pace.length());
        }
        assert!(first < 4 && pace.length() == MOST, "{first}, then {}", pace.length());
        let mut attempts = 0;
        for _ in 0..2000 {
            if pace.pays() {
                attempts += 1;
                pace.tell(0, 1);
            }
            pace.pass(1);
        }
        assert!(attempts < 40, "{attempts} attempts in 2,000 tokens that nobody could foresee");
        pace.tell(3, 3);
        pace.tell(3, 3);
        assert!(pace.pays(), "what comes true is believed again at once");
    }

    #[test]
    fn good_reasons_look_further_at_once_and_are_not_believed_for_long() {
        let mut pace = Pace::sure();
        let first = pace.length();
        assert!(first > 4, "{first}");
        pace.tell(first, first);
        assert_eq!(pace.length(), MOST, "after one success");
        let (mut pace, mut rows) = (Pace::sure(), 0);
        while pace.pays() {
            rows += pace.length();
            pace.tell(0, pace.length());
        }
        assert!(rows < 20, "{rows} rows for nothing");
    }

    #[test]
    fn a_step_reads_one_or_two_rows_or_several_times_four() {
        for confidence in (45..100).map(|hundredths| hundredths as f32 / 100.0) {
            let rows = Pace { confidence, ..Pace::curious() }.length() + 1;
            assert!(rows == 2 || rows.is_multiple_of(4) && rows <= MOST + 1, "{rows} at {confidence}");
        }
    }
}
