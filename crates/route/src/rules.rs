//! Signals that need no model: lengths, attachments, the caller's wish, and a few hints from the text.

use serde::{Deserialize, Serialize};

use crate::{Bearing, Side, Signal, names};

/// What is known about a request before any model runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestFacts {
    /// The text of the last user message.
    pub text: String,
    /// Tokens of the whole rendered conversation.
    pub prompt_tokens: usize,
    /// Tokens the answer may take.
    pub answer_tokens: usize,
    /// Tokens the near model's context holds; absent where no model is loaded.
    pub context: Option<usize>,
    /// Parts that are not text.
    pub attachments: usize,
    /// The side the caller asked for.
    pub force: Option<Side>,
}

/// Prompts up to this length say nothing about difficulty; from here the signal grows.
const LONG_FROM: f64 = 512.0;
/// Prompts of this length and more count fully as long.
const LONG_FULLY: f64 = 4096.0;
/// The hints look only at so much of the text, so that a decision stays cheap.
const HINT_BYTES: usize = 16 * 1024;

/// Draws the signals that need no model. A rule that does not fire gives none.
pub fn rules(facts: &RequestFacts) -> Vec<Signal> {
    let mut signals = Vec::new();
    signals.extend(forced(facts));
    signals.extend(attachments(facts));
    signals.extend(context_share(facts));
    signals.extend(long_prompt(facts));
    signals.extend(hints(&facts.text));
    signals
}

fn forced(facts: &RequestFacts) -> Option<Signal> {
    let (bearing, evidence) = match facts.force? {
        Side::Near => (Bearing::WantsNear, "The caller asked for the near model."),
        Side::Far => (Bearing::WantsFar, "The caller asked for the far model."),
    };
    Some(Signal::new(names::FORCED, 1.0, evidence).bearing(bearing))
}

fn attachments(facts: &RequestFacts) -> Option<Signal> {
    let evidence = match facts.attachments {
        0 => return None,
        1 => "One part of the request is not text, and the near model reads only text.".to_owned(),
        count => format!("{count} parts of the request are not text, and the near model reads only text."),
    };
    Some(Signal::new(names::ATTACHMENTS, 1.0, evidence).bearing(Bearing::NearCannot))
}

fn context_share(facts: &RequestFacts) -> Option<Signal> {
    let context = facts.context?;
    if facts.prompt_tokens >= context {
        let evidence = format!(
            "The conversation has {} tokens and the near model's context holds {context}.",
            facts.prompt_tokens
        );
        return Some(Signal::new(names::CONTEXT_SHARE, 1.0, evidence).bearing(Bearing::NearCannot));
    }
    let wanted = facts.prompt_tokens.saturating_add(facts.answer_tokens);
    let share = wanted as f64 / context as f64;
    // Below half there is room enough, and the share says nothing.
    (share > 0.5).then(|| {
        let evidence = format!("Conversation and answer may take {wanted} of the near model's {context} tokens.");
        Signal::new(names::CONTEXT_SHARE, (share - 0.5) * 2.0, evidence)
    })
}

fn long_prompt(facts: &RequestFacts) -> Option<Signal> {
    let value = (facts.prompt_tokens as f64 - LONG_FROM) / (LONG_FULLY - LONG_FROM);
    (value > 0.0).then(|| {
        Signal::new(names::LONG_PROMPT, value, format!("The conversation is long: {} tokens.", facts.prompt_tokens))
    })
}

const CODE: [&str; 12] = [
    "```",
    "fn ",
    "def ",
    "class ",
    "#include",
    "function(",
    "=> {",
    "select * from",
    "stack trace",
    "traceback",
    "compile",
    "regex",
];
const MATHEMATICS: [&str; 12] = [
    "\\frac",
    "\\int",
    "\\sum",
    "prove that",
    "theorem",
    "integral",
    "derivative",
    "equation",
    "probability that",
    "how many",
    "percent",
    "solve for",
];
const SEVERAL_STEPS: [&str; 8] =
    ["step by step", "and then", "first,", "finally,", "compare", "trade-off", "in detail", "explain why"];

/// Hints from words: English, crude and known to be, so the profile weighs them lightly.
fn hints(text: &str) -> Vec<Signal> {
    let end = text.floor_char_boundary(HINT_BYTES);
    let text = text[..end].to_lowercase();
    [
        (names::CODE, "code", CODE.as_slice()),
        (names::MATHEMATICS, "mathematics", &MATHEMATICS),
        (names::SEVERAL_STEPS, "several steps", &SEVERAL_STEPS),
    ]
    .into_iter()
    .filter_map(|(name, topic, needles)| {
        let found: Vec<&str> = needles.iter().copied().filter(|needle| text.contains(needle)).collect();
        let first = found.first()?.trim();
        // One hit is a weak hint, three are as good as any number.
        let value = found.len() as f64 / 3.0;
        Some(Signal::new(name, value, format!("The text looks like {topic} (it has \"{first}\").")))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(facts: &RequestFacts) -> Vec<String> {
        rules(facts).into_iter().map(|signal| signal.name).collect()
    }

    #[test]
    fn small_talk_fires_nothing() {
        let facts = RequestFacts {
            text: "Good morning!".into(),
            prompt_tokens: 20,
            answer_tokens: 256,
            context: Some(2048),
            ..RequestFacts::default()
        };
        assert!(rules(&facts).is_empty());
    }

    #[test]
    fn what_does_not_fit_cannot_be_served_near() {
        let facts = RequestFacts { prompt_tokens: 2048, context: Some(2048), ..RequestFacts::default() };
        let signal = &rules(&facts)[0];
        assert_eq!(signal.bearing, Bearing::NearCannot);
        assert!(signal.evidence.contains("2048"), "{}", signal.evidence);

        let tight = RequestFacts { prompt_tokens: 1500, answer_tokens: 500, ..facts };
        assert_eq!(rules(&tight)[0].bearing, Bearing::Weighed);
        assert!(rules(&tight)[0].value > 0.9);
    }

    #[test]
    fn hints_name_what_they_saw() {
        let facts = RequestFacts { text: "Prove that\n```def f():``` halts".into(), ..RequestFacts::default() };
        assert_eq!(names_of(&facts), [names::CODE, names::MATHEMATICS]);
        assert!(rules(&facts)[1].evidence.contains("prove that"));
    }

    #[test]
    fn a_huge_text_of_wide_characters_is_cut_between_characters() {
        let facts = RequestFacts { text: "é😀".repeat(HINT_BYTES), ..RequestFacts::default() };
        assert!(rules(&facts).is_empty());
    }

    #[test]
    fn longer_prompts_never_weigh_less() {
        let value = |tokens| {
            let facts = RequestFacts { prompt_tokens: tokens, ..RequestFacts::default() };
            rules(&facts).first().map_or(0.0, |signal| signal.value)
        };
        for tokens in (0..6000).step_by(50) {
            assert!(value(tokens) <= value(tokens + 50));
        }
        assert!((value(1_000_000) - 1.0).abs() < 1e-12);
    }
}
