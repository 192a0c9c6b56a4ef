//! `nearside chat`: a conversation in the terminal.

use std::io::{BufRead, IsTerminal};
use std::ops::ControlFlow;

use clap::{Args, ValueEnum};
use nearside_engine::{ContextPolicy, GenerateOptions, Sampling, Session};
use nearside_text::Message;
use serde::Serialize;

use crate::arguments::{CommonArguments, ModelArguments, SamplingArguments, positive};
use crate::failure::Failure;
use crate::generate::{Ending, Moment, Outcome, Timings, generate_on};
use crate::interrupt::Interrupt;
use crate::model::{Opened, open};
use crate::output;
use crate::progress::Progress;

/// The examples below the options.
const EXAMPLES: &str = "\
Examples:
  nearside chat --model smollm2.gguf
  nearside chat --model qwen.gguf --system \"Answer in one sentence.\" --temperature 0
  printf 'Hello\\nAnd again\\n' | nearside chat --model smollm2.gguf --json

In the conversation:
  /reset  starts over        /quit  ends it, as Ctrl-D does
  Ctrl-C  stops an answer; at the prompt it ends the conversation";

/// Talk with a model
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    /// The system message that every conversation begins with
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    /// What happens when the conversation has more tokens than the context holds
    #[arg(long, value_name = "WAY", default_value = "stop")]
    when_full: WhenFull,

    /// The most tokens in one answer
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = positive)]
    max_tokens: usize,

    #[command(flatten)]
    sampling: SamplingArguments,
}

/// What happens when the conversation has more tokens than the context holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WhenFull {
    /// The answer ends there, and a further question is refused
    Stop,
    /// The system message stays and the oldest turns are dropped
    Slide,
}

/// One answer, with `--json` a line of its own.
#[derive(Serialize)]
struct Answer<'a> {
    text: &'a str,
    ids: &'a [u32],
    finish_reason: Ending,
    prompt_tokens: usize,
    reused_tokens: usize,
    dropped_tokens: usize,
    timings: Timings,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments, common: CommonArguments, interrupt: &Interrupt) -> Result<(), Failure> {
    let mut opened = open(&arguments.model, common, interrupt).await?;
    let sampling = arguments.sampling.sampling();
    let system = arguments.system.map(|content| Message::new("system", content));
    let mut history: Vec<Message> = system.iter().cloned().collect();
    let mut session = opened.engine.create_session()?;
    let prompts = std::io::stdin().is_terminal();

    while let Some(line) = read_line(prompts, interrupt)? {
        match line.trim() {
            "" => continue,
            "/quit" => break,
            "/reset" => {
                history = system.iter().cloned().collect();
                eprintln!("(starting over)");
                continue;
            }
            command if command.starts_with('/') => {
                eprintln!("unknown command `{command}`; there are /reset and /quit");
                continue;
            }
            question => history.push(Message::new("user", question)),
        }
        let how = How { sampling, max_tokens: arguments.max_tokens, when_full: arguments.when_full, json: common.json };
        match answer(&mut opened, &mut session, &history, &how, interrupt).await {
            Ok(outcome) => {
                if outcome.ending == Ending::ContextFull {
                    eprintln!("(the context is full: /reset starts over, --when-full slide goes on)");
                }
                history.push(Message::new("assistant", outcome.text));
            }
            // The conversation goes on without the question that could not be answered.
            Err(Failure::Engine(error)) => {
                history.pop();
                eprintln!("error: {error}");
            }
            Err(failure) => return Err(failure),
        }
        interrupt.clear();
    }
    Ok(())
}

/// The next line, or nothing at the end of the input.
fn read_line(prompts: bool, interrupt: &Interrupt) -> Result<Option<String>, Failure> {
    let _idle = interrupt.idle();
    if prompts {
        output::write("> ")?;
    }
    let mut line = String::new();
    let read = std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::System { what: "reading standard input".to_owned(), reason: error.to_string() })?;
    Ok((read > 0).then_some(line))
}

/// How questions are answered.
struct How {
    sampling: Sampling,
    max_tokens: usize,
    when_full: WhenFull,
    json: bool,
}

async fn answer(
    opened: &mut Opened,
    session: &mut Session,
    history: &[Message],
    how: &How,
    interrupt: &Interrupt,
) -> Result<Outcome, Failure> {
    let json = how.json;
    let tokens = opened.engine.chat_tokens(history)?;
    let when_full = match how.when_full {
        WhenFull::Stop => ContextPolicy::Stop,
        WhenFull::Slide => ContextPolicy::Slide { keep: opened.engine.system_tokens(history)? },
    };
    let options =
        GenerateOptions { sampling: how.sampling, max_tokens: how.max_tokens, when_full, ..GenerateOptions::default() };
    let mut progress = Some(Progress::new());
    let outcome = generate_on(opened, interrupt, session, &tokens, options, |moment| {
        match moment {
            Moment::Prefill(done, total) => {
                if let Some(progress) = &mut progress {
                    progress.show(|| format!("reading: {done} of {total} tokens"));
                }
            }
            Moment::Token(token, _) => {
                progress = None;
                if !json {
                    output::write(&token.text)?;
                }
            }
            Moment::Tail(text) if !json => output::write(text)?,
            Moment::Slid(dropped) => eprintln!("(the context is full: the oldest {dropped} tokens are forgotten)"),
            Moment::Tail(_) => {}
        }
        Ok(if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .await?;
    drop(progress);
    if json {
        output::write_json_line(&Answer {
            text: &outcome.text,
            ids: &outcome.tokens,
            finish_reason: outcome.ending,
            prompt_tokens: outcome.prompt_tokens,
            reused_tokens: outcome.reused_tokens,
            dropped_tokens: outcome.dropped_tokens,
            timings: Timings::new(opened.load, &outcome),
        })?;
    } else {
        output::write("\n")?;
    }
    Ok(outcome)
}
