//! `nearside bench --speculate`: the same answer with and without foresight.

use std::ops::ControlFlow;

use nearside_engine::{Engine, EngineError, GenerateOptions, Sampling, Speculation};
use nearside_text::SpecialTokens;
use serde::Serialize;

use crate::arguments::{CommonArguments, ModelArguments, SpeculationArgument};
use crate::backend::BackendReport;
use crate::bench::{Spread, hundredths, spread};
use crate::failure::Failure;
use crate::generate::{Moment, Outcome, generate};
use crate::interrupt::Interrupt;
use crate::machine::Machine;
use crate::model::open;
use crate::output;
use crate::progress::Progress;

/// What is copied: ordinary words, names and numbers.
const PASSAGE: &str = "The river rises in the hills to the north, turns east below the old mill, and reaches the sea \
after two hundred miles. Along its banks people have kept orchards, built boats, and argued about the price of salt. \
In 1847 a flood took the bridge at Harrow, and for nine years a ferryman named Tobias Quill carried the mail across \
for a penny a bag, until the parish paid 312 pounds for a new one of iron.";

#[derive(Serialize)]
struct Report {
    model: String,
    speculation: String,
    backend: BackendReport,
    machine: Machine,
    prompt_tokens: usize,
    tokens: usize,
    rounds: usize,
    identical: bool,
    drafted_tokens: usize,
    accepted_tokens: usize,
    acceptance: f64,
    plain_tokens_per_second: Spread,
    speculative_tokens_per_second: Spread,
    speed_up: f64,
}

/// Takes turns between the two ways and compares what comes of them.
pub(crate) async fn run(
    mut engine: Engine,
    source: &SpeculationArgument,
    model: &ModelArguments,
    (tokens, rounds): (usize, usize),
    common: CommonArguments,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let (speculation, name) = match source {
        SpeculationArgument::Lookup => (Speculation::Lookup, "lookup".to_owned()),
        SpeculationArgument::Draft(path) => {
            let draft = ModelArguments { model: path.clone(), lora: Vec::new(), ..model.clone() };
            engine.attach_draft(open(&draft, common, interrupt).await?.engine)?;
            (Speculation::Draft, path.display().to_string())
        }
    };
    let text = format!("Original: {PASSAGE}\n\nCopy: {PASSAGE}\n\nCopy:");
    let special = SpecialTokens { add: true, parse: false };
    let prompt = engine.tokenizer().encode(&text, special).map_err(EngineError::from)?;
    let mut progress = Progress::new();
    let (mut plain, mut quick) = (Vec::new(), Vec::new());
    for number in 0..=rounds {
        for (speculation, outcomes) in [(Speculation::None, &mut plain), (speculation, &mut quick)] {
            let options = GenerateOptions {
                sampling: Sampling::greedy(),
                max_tokens: tokens,
                ignore_end: true,
                speculation,
                ..GenerateOptions::default()
            };
            let mut session = engine.create_session()?;
            let outcome = generate(&mut engine, &mut session, &prompt, options, |moment| {
                if let Moment::Token(..) = moment {
                    progress.show(|| format!("round {number} of {rounds}"));
                }
                Ok(if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
            .await;
            engine.close_session(session);
            interrupt.check()?;
            outcomes.push(outcome?);
        }
    }
    drop(progress);

    // The first of each warmed everything up.
    let rate = |outcome: &Outcome| (outcome.tokens.len() - 1) as f64 / outcome.decode.as_secs_f64();
    let (slow, fast) = (spread(plain[1..].iter().map(rate)), spread(quick[1..].iter().map(rate)));
    let last = &quick[rounds];
    let info = engine.info();
    let report = Report {
        model: info.name.clone(),
        speculation: name,
        backend: BackendReport::from(&info.backend),
        machine: Machine::here(),
        prompt_tokens: prompt.len(),
        tokens,
        rounds,
        identical: plain.iter().zip(&quick).all(|(plain, quick)| plain.tokens == quick.tokens),
        drafted_tokens: last.drafted_tokens,
        accepted_tokens: last.accepted_tokens,
        acceptance: hundredths(last.accepted_tokens as f64 / last.drafted_tokens.max(1) as f64),
        speed_up: hundredths(fast.median / slow.median),
        plain_tokens_per_second: slow,
        speculative_tokens_per_second: fast,
    };
    if common.json { output::write_json(&report) } else { output::write(&report.text()) }
}

impl Report {
    fn text(&self) -> String {
        format!(
            "model          {}\n\
             speculation    {}\n\
             backend        {}\n\
             machine        {}, {} threads, {}\n\
             task           {} tokens copied out of a prompt of {}, median of {} rounds each\n\
             answers        {}\n\
             foreseen       {} tokens, {} of them right\n\
             decode         {} tokens/s, without {} tokens/s: {} times as fast\n",
            self.model,
            self.speculation,
            self.backend,
            self.machine.cpu.as_deref().unwrap_or(self.machine.architecture),
            self.machine.threads,
            self.machine.system,
            self.tokens,
            self.prompt_tokens,
            self.rounds,
            if self.identical { "the same" } else { "NOT the same" },
            self.drafted_tokens,
            self.accepted_tokens,
            self.speculative_tokens_per_second,
            self.plain_tokens_per_second,
            self.speed_up,
        )
    }
}
