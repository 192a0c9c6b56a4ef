//! The `wasm-bindgen` that worker-build calls, over the library whose version `Cargo.lock` keeps equal to the crate's.
//!
//! It knows the arguments that worker-build passes and refuses all others, so that a new one is noticed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use wasm_bindgen_cli_support::Bindgen;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Target {
    Bundler,
    Module,
    Web,
}

/// Writes the JavaScript around a wasm module.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line it stands in for")]
#[derive(Debug, Parser)]
#[command(name = "nearside-bindgen", version)]
struct Arguments {
    /// The module that cargo built.
    input: PathBuf,
    /// Where the results go.
    #[arg(long)]
    out_dir: PathBuf,
    /// The name of the results, without an ending.
    #[arg(long)]
    out_name: Option<String>,
    /// Which kind of JavaScript module to write.
    #[arg(long, value_enum, default_value_t = Target::Bundler)]
    target: Target,
    /// Write TypeScript declarations.
    #[arg(long, overrides_with = "no_typescript")]
    typescript: bool,
    /// Write no TypeScript declarations.
    #[arg(long)]
    no_typescript: bool,
    /// Add checks to the JavaScript.
    #[arg(long)]
    debug: bool,
    /// Leave the names in the module as the compiler wrote them.
    #[arg(long)]
    no_demangle: bool,
    /// Keep the DWARF sections.
    #[arg(long)]
    keep_debug: bool,
    /// Leave out the path by which the JavaScript finds its module.
    #[arg(long)]
    omit_default_module_path: bool,
    /// Write linked modules as files of their own.
    #[arg(long)]
    split_linked_modules: bool,
    /// Export a function that brings a fresh instance after a panic.
    #[arg(long)]
    experimental_reset_state_function: bool,
    /// Handle an abort although the module was built to unwind.
    #[arg(long)]
    force_enable_abort_handler: bool,
}

fn main() -> ExitCode {
    match generate(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("nearside-bindgen: {message}");
            ExitCode::FAILURE
        }
    }
}

fn generate(arguments: &Arguments) -> Result<(), String> {
    let mut bindgen = Bindgen::new();
    let mode = match arguments.target {
        Target::Bundler => bindgen.bundler(true),
        Target::Module => bindgen.module(true),
        Target::Web => bindgen.web(true),
    };
    mode.map_err(|error| format!("{error:#}"))?;
    bindgen
        .input_path(&arguments.input)
        .typescript(!arguments.no_typescript)
        .debug(arguments.debug)
        .demangle(!arguments.no_demangle)
        .keep_debug(arguments.keep_debug)
        .omit_default_module_path(arguments.omit_default_module_path)
        .split_linked_modules(arguments.split_linked_modules)
        .reset_state_function(arguments.experimental_reset_state_function)
        .force_enable_abort_handler(arguments.force_enable_abort_handler);
    if let Some(name) = &arguments.out_name {
        bindgen.out_name(name);
    }
    bindgen.generate(&arguments.out_dir).map_err(|error| format!("{}: {error:#}", arguments.input.display()))
}
