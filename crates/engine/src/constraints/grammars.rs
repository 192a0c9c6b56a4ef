//! What all constraints on one model share.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{ParserFactory, panic_utils};
use nearside_text::Tokenizer;

use super::limits::parser_limits;
use super::vocabulary::Vocabulary;
use super::{Constraint, Matcher, Thought};
use crate::EngineError;

/// Makes matchers. The tree of the vocabulary is built with the first of them, because most models never need it.
#[derive(Default)]
pub(crate) struct Grammars {
    factory: Option<ParserFactory>,
}

impl Grammars {
    /// A matcher for one answer of a model with so many tokens, which may begin with a thought.
    pub(crate) fn matcher(
        &mut self,
        tokenizer: &Arc<Tokenizer>,
        constraint: &Constraint,
        thought: Option<&Thought>,
        tokens: usize,
    ) -> Result<Matcher, EngineError> {
        let form = constraint.grammar()?;
        let grammar = match thought {
            Some(thought) => thought.before(form, tokenizer),
            None => TopLevelGrammar::from_grammar(form),
        };
        let factory = match &mut self.factory {
            Some(factory) => factory,
            none => none.insert(factory(tokenizer).map_err(|problem| constraint.wrong(problem))?),
        };
        let parser = llguidance::Matcher::new(factory.create_parser(grammar));
        Matcher::new(parser, TokEnv::clone(factory.tok_env()), constraint, tokens)
    }
}

fn factory(tokenizer: &Tokenizer) -> Result<ParserFactory, String> {
    let vocabulary = Vocabulary::new(tokenizer).ok_or("the model's vocabulary is too large for constraints")?;
    let environment: TokEnv = Arc::new(vocabulary);
    let slices = SlicedBiasComputer::json_slices();
    let built = panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
    }));
    let mut factory = built.map_err(|error| error.to_string())?;
    factory.quiet();
    *factory.limits_mut() = parser_limits();
    Ok(factory)
}
