//! nearside: run, chat, serve, embed, inspect, eval and bench.

mod arguments;
mod backend;
mod bench;
mod chat;
mod embed;
mod eval;
mod failure;
mod generate;
mod inspect;
mod interrupt;
mod kernels;
mod machine;
mod model;
mod output;
mod progress;
mod run;
mod serve;
mod source;
mod speculate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::arguments::CommonArguments;
use crate::failure::{EXIT_USAGE, Failure};
use crate::interrupt::Interrupt;

const EXAMPLES: &str = "\
Examples:
  nearside inspect model.gguf
  nearside run --model model.gguf --prompt \"The capital of France is\" --max-tokens 8 --temperature 0 --json
  nearside serve --model model.gguf --port 8082

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

/// Language models on the near side: run, chat, serve, inspect, compare and measure
#[derive(Debug, Parser)]
#[command(name = "nearside", version, after_help = EXAMPLES)]
struct Line {
    #[command(flatten)]
    common: CommonArguments,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Chat(chat::Arguments),
    Serve(serve::Arguments),
    Inspect(inspect::Arguments),
    /// Compare with a reference engine
    #[command(subcommand)]
    Eval(eval::Command),
    Bench(bench::Arguments),
    Embed(embed::Arguments),
}

fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => return refuse(&error),
    };
    let json = line.common.json;
    match dispatch(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, json);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(line: Line) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let common = line.common;
    match line.command {
        Command::Serve(arguments) => serve::run(&arguments, common, &interrupt),
        Command::Run(arguments) => pollster::block_on(run::run(arguments, common, &interrupt)),
        Command::Chat(arguments) => pollster::block_on(chat::run(arguments, common, &interrupt)),
        Command::Inspect(arguments) => pollster::block_on(inspect::run(arguments, common)),
        Command::Eval(command) => pollster::block_on(eval::run(command, common, &interrupt)),
        Command::Embed(arguments) => pollster::block_on(embed::run(arguments, common, &interrupt)),
        Command::Bench(arguments) => pollster::block_on(bench::run(arguments, common, &interrupt)),
    }
}

/// Says what went wrong where people look, and with `--json` also where programs do.
fn report(failure: &Failure, json: bool) {
    if matches!(failure, Failure::OutputClosed) {
        return;
    }
    eprintln!("error: {failure}");
    if json && !matches!(failure, Failure::InterruptedAfterReport) {
        // Standard error has said it already.
        let _ = output::write_json(&failure.body());
    }
}

/// Help, the version, or a line that makes no sense.
fn refuse(error: &clap::Error) -> ExitCode {
    // Nobody may be there to read it.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let message = error.render().to_string();
        let sentence = message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let _ = output::write_json(&Failure::Usage(sentence).body());
    }
    ExitCode::from(EXIT_USAGE)
}
