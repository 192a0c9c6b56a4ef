//! `nearside eval`: comparisons with a reference engine.

mod parity;
mod tokenizer;

use clap::Subcommand;

use crate::arguments::CommonArguments;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// What can be compared.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Parity(parity::Arguments),
    Tokenizer(tokenizer::Arguments),
}

/// Runs the command.
pub(crate) async fn run(command: Command, common: CommonArguments, interrupt: &Interrupt) -> Result<(), Failure> {
    match command {
        Command::Parity(arguments) => parity::run(arguments, common, interrupt).await,
        Command::Tokenizer(arguments) => tokenizer::run(&arguments, common),
    }
}
