//! `nearside eval parity`: the same tokens as the reference engine?

use std::path::{Path, PathBuf};

use clap::Args;
use nearside_engine::evaluation::{ParityReport, ParityVectors, parity};

use crate::arguments::{CommonArguments, ModelArguments};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::model::open;
use crate::output;
use crate::progress::Progress;

/// The examples below the options.
const EXAMPLES: &str = "\
Examples:
  nearside eval parity --model smollm2.gguf --vectors tests/parity/smollm2-135m.dev.json --json
  nearside eval parity --model smollm2.gguf --vectors tests/parity/smollm2-135m.dev.json --backend gpu";

/// Compare tokens, probabilities and perplexity with recorded ones
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    /// What the reference engine answered, a JSON file
    #[arg(long, value_name = "FILE")]
    vectors: PathBuf,
}

/// Runs the command.
pub(super) async fn run(arguments: Arguments, common: CommonArguments, interrupt: &Interrupt) -> Result<(), Failure> {
    let vectors = read_vectors(&arguments.vectors)?;
    let mut opened = open(&arguments.model, common, interrupt).await?;
    let mut progress = Progress::new();
    // There is nothing to save of half a comparison, so Ctrl-C need not wait for a step to end.
    let idle = interrupt.idle();
    let report = parity(&mut opened.engine, &vectors, &mut |done, total| {
        progress.show(|| format!("comparing: {done} of {total}"));
    })
    .await?;
    drop(idle);
    drop(progress);
    if common.json { output::write_json(&report) } else { output::write(&text(&report)) }
}

fn read_vectors(path: &Path) -> Result<ParityVectors, Failure> {
    let fail = |reason: String| Failure::File { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| fail(format!("it does not hold parity vectors: {error}")))
}

fn text(report: &ParityReport) -> String {
    let prompts = report.prompts;
    format!(
        "reference                    {}\n\
         token ids equal              {} of {prompts}, longer text: {}\n\
         likeliest next token equal   {} of {prompts}\n\
         greedy answer equal          {} of {prompts}\n\
         equal up to a close call     {} of {prompts}\n\
         largest |Δ log probability|  {:.4}\n\
         perplexity                   {:.4} (reference {:.4})\n",
        report.reference,
        report.ids_equal,
        if report.text_ids_equal { "equal" } else { "different" },
        report.top1_equal,
        report.greedy_equal,
        report.greedy_until_margin,
        report.max_abs_dlogprob,
        report.ppl,
        report.ppl_ref,
    )
}
