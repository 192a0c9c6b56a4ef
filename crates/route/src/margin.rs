//! What the first tokens show: a model that is unsure of its first words is often out of its depth.

use crate::{Signal, names};

/// How unsure a token was: 1 where the two best tokens tie, falling to 0 as the best leads.
fn doubt(margin: f32) -> f64 {
    1.0 / (1.0 + f64::from(margin.max(0.0)))
}

/// The mean doubt of the first tokens, from their margins (best logit minus second best).
pub fn margin_signal(margins: &[f32]) -> Signal {
    let doubts: Vec<f64> = margins.iter().filter(|margin| margin.is_finite()).map(|&margin| doubt(margin)).collect();
    if doubts.is_empty() {
        return Signal::new(names::FIRST_MARGIN, 0.0, "No token has been written yet.");
    }
    let mean = doubts.iter().sum::<f64>() / doubts.len() as f64;
    let word = match mean {
        mean if mean < 0.25 => "sure",
        mean if mean < 0.5 => "fairly sure",
        _ => "unsure",
    };
    Signal::new(names::FIRST_MARGIN, mean, format!("The near model is {word} of its first {} tokens.", doubts.len()))
}

/// The doubt of the least sure of the first tokens.
pub fn lowest_margin_signal(margins: &[f32]) -> Signal {
    let lowest = margins.iter().copied().filter(|margin| margin.is_finite()).fold(f32::INFINITY, f32::min);
    if lowest.is_infinite() {
        return Signal::new(names::LOWEST_MARGIN, 0.0, "No token has been written yet.");
    }
    let evidence = format!("The least sure of its first tokens led by {:.2}.", lowest.max(0.0));
    Signal::new(names::LOWEST_MARGIN, doubt(lowest), evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_margins_are_stronger_signals() {
        assert!(margin_signal(&[0.1, 0.2]).value > margin_signal(&[3.0, 4.0]).value);
        assert!(lowest_margin_signal(&[9.0, 0.1]).value > lowest_margin_signal(&[9.0, 9.0]).value);
    }

    #[test]
    fn odd_margins_stay_in_range() {
        for margins in [&[][..], &[f32::NAN], &[f32::INFINITY], &[-3.0, 0.0], &[f32::MAX, f32::MIN_POSITIVE]] {
            for signal in [margin_signal(margins), lowest_margin_signal(margins)] {
                assert!((0.0..=1.0).contains(&signal.value), "{margins:?}: {signal:?}");
            }
        }
    }
}
