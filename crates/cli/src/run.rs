//! `nearside run`: one prompt, one answer.

use std::ops::ControlFlow;

use clap::Args;
use nearside_engine::backend::TokenId;
use nearside_engine::{EngineError, GenerateOptions};
use nearside_text::{Message, SpecialTokens};
use serde::Serialize;

use crate::arguments::{CommonArguments, ModelArguments, SamplingArguments, positive, text_or_stdin};
use crate::backend::BackendReport;
use crate::failure::Failure;
use crate::generate::{Ending, Moment, Timings, generate_on};
use crate::interrupt::Interrupt;
use crate::model::open;
use crate::output;
use crate::progress::Progress;

/// The examples below the options.
const EXAMPLES: &str = "\
Examples:
  nearside run --model smollm2.gguf --prompt \"The capital of France is\" --max-tokens 8 --temperature 0
  nearside run --model smollm2.gguf --prompt \"Why is the sky blue?\" --chat --seed 7
  git diff | nearside run --model qwen.gguf --chat --system \"Summarise this diff.\" --prompt - --json";

/// Continue a prompt, or answer it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    /// The text to continue; `-` reads it from standard input
    #[arg(long, value_name = "TEXT")]
    prompt: String,

    /// The most tokens to generate
    #[arg(long, value_name = "COUNT", default_value_t = 256, value_parser = positive)]
    max_tokens: usize,

    #[command(flatten)]
    sampling: SamplingArguments,

    /// End before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,

    /// Treat the prompt as a user's message: the model's chat template is applied
    #[arg(long)]
    chat: bool,

    /// The system message before it
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,

    /// Continue the prompt as it stands, which is the default
    #[arg(long, conflicts_with = "chat")]
    raw: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    backend: BackendReport,
    prompt_ids: &'a [TokenId],
    text: &'a str,
    ids: &'a [TokenId],
    finish_reason: Ending,
    seed: u64,
    usage: Usage,
    timings: Timings,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments, common: CommonArguments, interrupt: &Interrupt) -> Result<(), Failure> {
    let prompt = text_or_stdin(&arguments.prompt)?;
    let mut opened = open(&arguments.model, common, interrupt).await?;
    let engine = &mut opened.engine;
    let prompt_ids = if arguments.chat {
        let system = arguments.system.map(|content| Message::new("system", content));
        let user = Message::new("user", prompt);
        engine.chat_tokens(&system.into_iter().chain([user]).collect::<Vec<_>>())?
    } else {
        engine.tokenizer().encode(&prompt, SpecialTokens { add: true, parse: false }).map_err(EngineError::from)?
    };
    let sampling = arguments.sampling.sampling();
    let options = GenerateOptions {
        sampling,
        max_tokens: arguments.max_tokens,
        stop: arguments.stop,
        ..GenerateOptions::default()
    };

    let mut session = engine.create_session()?;
    let mut progress = Some(Progress::new());
    let outcome = generate_on(&mut opened, interrupt, &mut session, &prompt_ids, options, |moment| {
        match moment {
            Moment::Prefill(done, total) => {
                if let Some(progress) = &mut progress {
                    progress.show(|| format!("reading the prompt: {done} of {total} tokens"));
                }
            }
            Moment::Token(token, _) => {
                progress = None;
                if !common.json {
                    output::write(&token.text)?;
                }
            }
            Moment::Tail(text) if !common.json => output::write(text)?,
            Moment::Tail(_) | Moment::Slid(_) => {}
        }
        Ok(if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .await?;
    drop(progress);

    if common.json {
        let info = opened.engine.info();
        output::write_json(&Report {
            model: &info.name,
            backend: BackendReport::from(&info.backend),
            prompt_ids: &prompt_ids,
            text: &outcome.text,
            ids: &outcome.tokens,
            finish_reason: outcome.ending,
            seed: sampling.seed,
            usage: Usage { prompt_tokens: outcome.prompt_tokens, completion_tokens: outcome.tokens.len() },
            timings: Timings::new(opened.load, &outcome),
        })?;
    } else {
        output::write("\n")?;
    }
    if outcome.ending == Ending::Interrupted { Err(Failure::InterruptedAfterReport) } else { Ok(()) }
}
