//! Options that several commands share.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use nearside_engine::Sampling;

use crate::failure::Failure;

/// Where the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendName {
    /// WebGPU over the platform's own API
    Gpu,
    /// SIMD code on the processor's cores
    Cpu,
}

/// What every command takes.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CommonArguments {
    /// Print results, and errors, as JSON on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Where the model runs; without it a real GPU is used where there is one, else the CPU
    #[arg(long, global = true, value_name = "BACKEND")]
    pub(crate) backend: Option<BackendName>,
}

/// Which model, and how much room it gets.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArguments {
    /// The model, a GGUF file
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,

    /// How many tokens a conversation can hold [default: the model's own, at most 4096]
    #[arg(long, value_name = "TOKENS", value_parser = positive)]
    pub(crate) context: Option<usize>,
}

/// How tokens are chosen.
#[derive(Debug, Args)]
pub(crate) struct SamplingArguments {
    /// 0 always takes the likeliest token; higher is more varied [default: 0.7]
    #[arg(long, value_name = "NUMBER", value_parser = temperature)]
    pub(crate) temperature: Option<f32>,

    /// Choose among this many likeliest tokens [default: 40]
    #[arg(long, value_name = "COUNT", value_parser = positive)]
    pub(crate) top_k: Option<usize>,

    /// Choose among the fewest tokens that reach this probability together [default: 0.95]
    #[arg(long, value_name = "PROBABILITY", value_parser = probability)]
    pub(crate) top_p: Option<f32>,

    /// Drop tokens less probable than this share of the likeliest one [default: 0.05]
    #[arg(long, value_name = "SHARE", value_parser = probability)]
    pub(crate) min_p: Option<f32>,

    /// Same seed, same tokens [default: a new one each time]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
}

impl SamplingArguments {
    /// The engine's defaults with what was given.
    pub(crate) fn sampling(&self) -> Sampling {
        let default = Sampling::default();
        Sampling {
            temperature: self.temperature.unwrap_or(default.temperature),
            top_k: self.top_k.unwrap_or(default.top_k),
            top_p: self.top_p.unwrap_or(default.top_p),
            min_p: self.min_p.unwrap_or(default.min_p),
            seed: self.seed.unwrap_or_else(fresh_seed),
            ..default
        }
    }
}

/// A seed that differs from call to call, small enough to survive a trip through a JSON number.
pub(crate) fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64) & ((1 << 53) - 1)
}

/// The text itself, or what standard input says where it is `-`.
pub(crate) fn text_or_stdin(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    std::io::read_to_string(std::io::stdin()).map_err(|error| Failure::System {
        what: "reading the prompt from standard input".to_owned(),
        reason: error.to_string(),
    })
}

/// A whole number of at least 1.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it must be a whole number of at least 1".to_owned()),
    }
}

fn temperature(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        _ => Err("it must be a number from 0 to 100".to_owned()),
    }
}

fn probability(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("it must be a number from 0 to 1".to_owned()),
    }
}
