//! How far to look ahead, and when not to.

/// How much of the newest experience enters the confidence.
const WEIGHT: f32 = 0.2;
/// Looking ahead pays from here on: reading a row more costs less than a step, but not nothing.
const LEAST_CONFIDENCE: f32 = 0.45;
/// The last token foreseen should at least be this likely to be needed.
const LEAST_USE: f32 = 0.3;
const MOST: usize = 15;
const SHORTEST_PAUSE: usize = 16;
const LONGEST_PAUSE: usize = 256;

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
    /// Curious.
    pub(super) fn new() -> Self {
        Self { confidence: 0.5, pause: 0, next_pause: SHORTEST_PAUSE }
    }

    /// Whether to look ahead.
    pub(super) fn pays(&self) -> bool {
        self.confidence >= LEAST_CONFIDENCE
    }

    /// How many tokens to foresee.
    pub(super) fn length(&self) -> usize {
        let length = LEAST_USE.ln() / self.confidence.min(0.99).ln();
        (length as usize).clamp(1, MOST)
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
                self.confidence = 0.5;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn success_looks_further_and_failure_gives_up_for_longer_and_longer() {
        let mut pace = Pace::new();
        let first = pace.length();
        for _ in 0..8 {
            pace.tell(pace.length(), pace.length());
        }
        assert!(first < 4 && pace.length() == 15, "{first}, then {}", pace.length());
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
}
