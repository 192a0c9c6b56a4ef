//! How the next token is chosen: the plain reference that every backend follows.
//!
//! The rule, in this order, all in f32:
//!
//! 1. The candidates are the [`MAX_CANDIDATES`] best logits, best first, ties by lower token. A logit
//!    that is not a number counts as negative infinity.
//! 2. `temperature` not above 0 chooses the first candidate and ends here.
//! 3. The first `top_k` candidates stay (0, or more than there are: all of them).
//! 4. Each gets the weight `exp((logit - best logit) / temperature)`.
//! 5. Going through the weights in order, the shortest run whose sum reaches `top_p` of the sum of all
//!    weights stays, at least one.
//! 6. Of these, the ones with a weight of at least `min_p` stay. The first one's weight is 1, so it does.
//! 7. The choice is the first whose running sum of weights exceeds `draw` times the kept sum; the last
//!    one if rounding lets none.
//!
//! A choice from held logits first changes these, as [`adjust`] does: every change in any order, then what is not
//! allowed becomes negative infinity. The candidates, the rule above and [`log_sum_exp`] all see the changed logits.
//!
//! The draw comes from [`draw`], which depends on the seed and on the position of the token being
//! chosen and on nothing else: neither batch size nor reuse nor another conversation changes it.

use std::cmp::Ordering;

use crate::backend::{Candidate, LogitChange, MAX_CANDIDATES, SampleRule, TokenId};

/// Changes logits as a held choice asks: a token's logit is divided by the divisor if it is positive and multiplied
/// with it otherwise, and then gains the bias; a token without its bit, or beyond the last word, gets negative infinity.
/// Changes of tokens that do not exist are ignored.
pub fn adjust(logits: &mut [f32], changes: &[LogitChange], allowed: Option<&[u32]>) {
    for change in changes {
        if let Some(logit) = logits.get_mut(change.token as usize) {
            *logit = if *logit > 0.0 { *logit / change.divisor } else { *logit * change.divisor } + change.bias;
        }
    }
    let Some(allowed) = allowed else { return };
    for (word, logits) in logits.chunks_mut(32).enumerate() {
        let bits = allowed.get(word).copied().unwrap_or(0);
        for (bit, logit) in logits.iter_mut().enumerate() {
            if bits >> bit & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// Logits that are passed over together.
const STRETCH: usize = 64;

/// The `count` best logits, best first, ties by lower token.
pub fn top_candidates(logits: &[f32], count: usize) -> Vec<Candidate> {
    let count = count.min(logits.len());
    let mut best: Vec<Candidate> = Vec::with_capacity(count + 1);
    if count == 0 {
        return best;
    }
    for (stretch, logits) in logits.chunks(STRETCH).enumerate() {
        // In almost every stretch all logits fail this test; counting them makes it for many at once.
        if let Some(last) = best.get(count - 1).map(|last| last.logit)
            && logits.iter().filter(|logit| **logit > last).count() == 0
        {
            continue;
        }
        for (index, &logit) in logits.iter().enumerate() {
            let logit = if logit.is_nan() { f32::NEG_INFINITY } else { logit };
            if best.len() == count && best[count - 1].logit >= logit {
                continue;
            }
            let candidate = Candidate { token: (stretch * STRETCH + index) as TokenId, logit };
            let place = best.partition_point(|other| order(*other, candidate) == Ordering::Less);
            best.insert(place, candidate);
            best.truncate(count);
        }
    }
    best
}

fn order(left: Candidate, right: Candidate) -> Ordering {
    right.logit.total_cmp(&left.logit).then(left.token.cmp(&right.token))
}

/// Chooses one of the candidates, which are sorted as [`top_candidates`] gives them; `None` without any.
pub fn choose(candidates: &[Candidate], rule: &SampleRule) -> Option<TokenId> {
    let first = candidates.first()?;
    if rule.temperature.is_nan() || rule.temperature <= 0.0 {
        return Some(first.token);
    }
    let limit = match rule.top_k {
        0 => MAX_CANDIDATES,
        count => count.min(MAX_CANDIDATES),
    };
    let candidates = &candidates[..limit.min(candidates.len())];
    let weights: Vec<f32> =
        candidates.iter().map(|candidate| ((candidate.logit - first.logit) / rule.temperature).exp()).collect();
    let total: f32 = weights.iter().sum();
    let mut kept = 0;
    let mut sum = 0.0;
    for &weight in &weights {
        if kept > 0 && (sum >= rule.top_p * total || weight < rule.min_p) {
            break;
        }
        sum += weight;
        kept += 1;
    }
    let target = rule.draw * sum;
    let mut running = 0.0;
    for (candidate, weight) in candidates[..kept].iter().zip(&weights) {
        running += weight;
        if running > target {
            return Some(candidate.token);
        }
    }
    candidates[..kept].last().map(|candidate| candidate.token)
}

/// `ln Σ exp(logit)`, computed without overflow.
pub fn log_sum_exp(logits: &[f32]) -> f32 {
    let best = logits.iter().copied().filter(|logit| !logit.is_nan()).fold(f32::NEG_INFINITY, f32::max);
    if !best.is_finite() {
        return best;
    }
    let sum: f64 = logits.iter().filter(|logit| !logit.is_nan()).map(|&logit| f64::from((logit - best).exp())).sum();
    best + sum.ln() as f32
}

/// The seed's draw for the token at `position`, in [0, 1), a multiple of 2⁻²⁴.
pub fn draw(seed: u64, position: usize) -> f32 {
    // The finaliser of SplitMix64 over a counter: every bit of both inputs reaches every bit of the draw.
    let mut bits = seed.wrapping_add((position as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 40) as f32 / (1u32 << 24) as f32
}

/// The seed of the nth of several answers to one prompt: the seed itself for the first, and for the others one whose
/// draws have nothing to do with its own.
pub fn nth_seed(seed: u64, answer: usize) -> u64 {
    if answer == 0 {
        seed
    } else {
        (seed ^ (answer as u64).wrapping_mul(0xd1b5_4a32_d192_ed03)).wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(temperature: f32, top_k: usize, top_p: f32, min_p: f32, draw: f32) -> SampleRule {
        SampleRule { temperature, top_k, top_p, min_p, draw }
    }

    /// Every token that some draw chooses.
    fn reachable(candidates: &[Candidate], rule: SampleRule) -> Vec<TokenId> {
        let mut tokens: Vec<_> = (0..1000)
            .filter_map(|step| {
                let draw = step as f32 / 1000.0;
                choose(candidates, &SampleRule { draw, ..rule })
            })
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    #[test]
    fn candidates_are_best_first_and_ties_go_to_the_lower_token() {
        let best = top_candidates(&[1.0, 3.0, f32::NAN, 3.0, -2.0, 7.0], 4);
        let tokens: Vec<_> = best.iter().map(|candidate| candidate.token).collect();
        assert_eq!(tokens, [5, 1, 3, 0]);
        assert_eq!(top_candidates(&[1.0], 64).len(), 1);
        assert!(top_candidates(&[], 64).is_empty());
        assert_eq!(top_candidates(&[f32::NAN, f32::NAN], 1)[0].token, 0);
    }

    #[test]
    fn a_held_choice_sees_the_changed_and_allowed_logits_only() {
        let mut logits = [2.0, -2.0, 3.0, 1.0, f32::NAN];
        let change = |token, divisor, bias| LogitChange { token, divisor, bias };
        adjust(
            &mut logits,
            &[change(0, 2.0, 0.5), change(1, 2.0, 0.0), change(3, 1.0, -4.0), change(99, 1.0, 1.0)],
            None,
        );
        let values = |logits: &[f32]| logits.iter().map(|logit| f64::from(*logit).to_string()).collect::<Vec<_>>();
        assert_eq!(values(&logits), ["1.5", "-4", "3", "-3", "NaN"]);
        adjust(&mut logits, &[], Some(&[0b1011]));
        assert_eq!(values(&logits), ["1.5", "-4", "-inf", "-3", "-inf"]);
        let best = top_candidates(&logits, 64);
        assert_eq!(reachable(&best, rule(10.0, 0, 1.0, 0.0, 0.0)), [0, 1, 3]);
        // A vocabulary of more than one word; what has no word is not allowed.
        let mut logits = [1.0; 70];
        adjust(&mut logits, &[], Some(&[0, 1 << 3]));
        let finite: Vec<_> = (0..70).filter(|token| logits[*token].is_finite()).collect();
        assert_eq!(finite, [35]);
    }

    #[test]
    fn each_truncation_keeps_what_it_says() {
        // Probabilities 0.5, 0.25, 0.125, 0.125.
        let logits = [0.5f32.ln(), 0.25f32.ln(), 0.125f32.ln(), 0.125f32.ln()];
        let best = top_candidates(&logits, 64);
        assert_eq!(reachable(&best, rule(1.0, 0, 1.0, 0.0, 0.0)), [0, 1, 2, 3]);
        assert_eq!(reachable(&best, rule(1.0, 2, 1.0, 0.0, 0.0)), [0, 1]);
        assert_eq!(reachable(&best, rule(1.0, 0, 0.7, 0.0, 0.0)), [0, 1]);
        assert_eq!(reachable(&best, rule(1.0, 0, 0.0, 0.0, 0.0)), [0]);
        assert_eq!(reachable(&best, rule(1.0, 0, 1.0, 0.3, 0.0)), [0, 1]);
        assert_eq!(reachable(&best, rule(0.0, 0, 1.0, 0.0, 0.0)), [0]);
        assert_eq!(reachable(&best, rule(1.0, 1, 1.0, 0.0, 0.0)), [0]);
        assert_eq!(choose(&[], &rule(1.0, 0, 1.0, 0.0, 0.5)), None);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let best = top_candidates(&logits, 64);
        let mut counts = [0; 3];
        for position in 0..20_000 {
            let chosen = choose(&best, &rule(1.0, 0, 1.0, 0.0, draw(7, position)));
            counts[chosen.expect("three candidates") as usize] += 1;
        }
        for (count, share) in counts.iter().zip([0.5, 0.3, 0.2]) {
            let measured = f64::from(*count) / 20_000.0;
            assert!((measured - share).abs() < 0.02, "{counts:?}");
        }
    }

    #[test]
    fn draws_differ_by_seed_and_position_and_stay_below_one() {
        assert_ne!(draw(1, 0).to_bits(), draw(2, 0).to_bits());
        assert_ne!(draw(1, 0).to_bits(), draw(1, 1).to_bits());
        assert!((0..10_000).all(|position| (0.0..1.0).contains(&draw(3, position))));
    }

    #[test]
    fn log_sum_exp_survives_large_logits() {
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2f32.ln())).abs() < 1e-3);
        assert!(log_sum_exp(&[f32::NEG_INFINITY]).is_infinite());
    }
}
