//! Options that have no meaning are refused before anything runs.

use crate::backend::MAX_CANDIDATES;
use crate::{EngineError, GenerateOptions};

/// What a penalty or a bias may be at most: more would only overflow.
const LARGEST: f32 = 1000.0;

/// Says which option is wrong, for a model with so many tokens.
pub(super) fn check(options: &GenerateOptions, vocabulary: usize) -> Result<(), EngineError> {
    let sampling = &options.sampling;
    let wrong = |option: &'static str, problem: &str| Err(EngineError::Option { option, problem: problem.to_owned() });
    if !sampling.temperature.is_finite() || sampling.temperature < 0.0 {
        return wrong("temperature", "it must be a number of at least 0");
    }
    if !(0.0..=1.0).contains(&sampling.top_p) {
        return wrong("top_p", "it must lie between 0 and 1");
    }
    if !(0.0..=1.0).contains(&sampling.min_p) {
        return wrong("min_p", "it must lie between 0 and 1");
    }
    if !(1.0 / LARGEST..=LARGEST).contains(&sampling.repetition_penalty) {
        return wrong("repetition_penalty", "it must be a positive number; 1 changes nothing");
    }
    for (option, value) in
        [("frequency_penalty", sampling.frequency_penalty), ("presence_penalty", sampling.presence_penalty)]
    {
        if !(-LARGEST..=LARGEST).contains(&value) {
            return wrong(option, &format!("it must lie between -{LARGEST} and {LARGEST}"));
        }
    }
    for (token, bias) in &options.logit_bias {
        if *token as usize >= vocabulary {
            return wrong("logit_bias", &format!("token {token} is outside the model's vocabulary of {vocabulary}"));
        }
        if !(-LARGEST..=LARGEST).contains(bias) {
            return wrong(
                "logit_bias",
                &format!("the bias of token {token} must lie between -{LARGEST} and {LARGEST}"),
            );
        }
    }
    if options.top_logprobs > MAX_CANDIDATES {
        return wrong("top_logprobs", &format!("at most {MAX_CANDIDATES}"));
    }
    if options.stop.iter().any(String::is_empty) {
        return wrong("stop", "an empty text would end every answer at once");
    }
    Ok(())
}
