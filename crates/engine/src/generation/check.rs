//! Options that have no meaning are refused before anything runs.

use crate::backend::MAX_CANDIDATES;
use crate::{EngineError, GenerateOptions};

/// Says which option is wrong.
pub(super) fn check(options: &GenerateOptions) -> Result<(), EngineError> {
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
    if options.top_logprobs > MAX_CANDIDATES {
        return wrong("top_logprobs", &format!("at most {MAX_CANDIDATES}"));
    }
    if options.stop.iter().any(String::is_empty) {
        return wrong("stop", "an empty text would end every answer at once");
    }
    Ok(())
}
