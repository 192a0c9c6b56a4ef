//! Options that several commands share.

use std::fmt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use nearside_engine::Sampling;
use nearside_engine::backend::CacheFormat;
use nearside_gpu::{Fault, Tile};

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

    /// How many threads the CPU backend uses [default: as many as the machine has]
    #[arg(long, global = true, value_name = "COUNT", value_parser = positive)]
    pub(crate) threads: Option<usize>,

    /// What goes wrong with the GPU, so that a test sees what follows: `wrong-numbers` or `lost-after=STEPS`
    #[arg(long, global = true, hide = true, value_name = "FAULT", value_parser = fault)]
    pub(crate) gpu_fault: Option<Fault>,

    /// The only tile in which the GPU multiplies many tokens, so that a measurement sees each; few are multiplied in
    /// packed integers if the tile is of those
    #[arg(long, global = true, hide = true, value_name = "TILE")]
    pub(crate) gpu_tile: Option<Tile>,
}

/// A fault on the command line.
fn fault(text: &str) -> Result<Fault, String> {
    match (text, text.strip_prefix("lost-after=").map(str::parse)) {
        ("wrong-numbers", _) => Ok(Fault::WrongNumbers),
        (_, Some(Ok(steps))) => Ok(Fault::LostAfter(steps)),
        _ => Err("it must be `wrong-numbers` or `lost-after=STEPS`".to_owned()),
    }
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

    /// How a conversation's keys and values are kept; `q8_0` takes about half the memory
    #[arg(long, value_name = "FORMAT", default_value = "f16")]
    pub(crate) cache: CacheName,

    /// A low-rank adapter to use, a GGUF file, with its factor if not 1; may be given several times
    #[arg(long, value_name = "FILE[=FACTOR]", value_parser = adapter)]
    pub(crate) lora: Vec<AdapterArgument>,
}

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum CacheName {
    /// Half-precision floats
    F16,
    /// Blocks of 32 signed bytes with a scale
    #[value(name = "q8_0")]
    Q8_0,
}

impl fmt::Display for CacheName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        })
    }
}

impl From<CacheFormat> for CacheName {
    fn from(format: CacheFormat) -> Self {
        match format {
            CacheFormat::F16 => Self::F16,
            CacheFormat::Q8_0 => Self::Q8_0,
        }
    }
}

impl From<CacheName> for CacheFormat {
    fn from(name: CacheName) -> Self {
        match name {
            CacheName::F16 => Self::F16,
            CacheName::Q8_0 => Self::Q8_0,
        }
    }
}

/// Where tokens are foreseen from, on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpeculationArgument {
    /// What stood in the text before.
    Lookup,
    /// A smaller model of the same family.
    Draft(PathBuf),
}

/// `lookup`, or a file.
pub(crate) fn speculation(text: &str) -> Result<SpeculationArgument, String> {
    match text {
        "" => Err("it must be `lookup` or a model's file".to_owned()),
        "lookup" => Ok(SpeculationArgument::Lookup),
        file => Ok(SpeculationArgument::Draft(PathBuf::from(file))),
    }
}

/// An adapter on the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AdapterArgument {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Multiplies what it changes.
    pub(crate) factor: f32,
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

/// A path may hold an equals sign itself: only a number after the last one is a factor.
fn adapter(text: &str) -> Result<AdapterArgument, String> {
    let (path, factor) = match text.rsplit_once('=') {
        Some((path, factor)) => match factor.parse::<f32>() {
            Ok(factor) if factor.is_finite() => (path, factor),
            Ok(_) => return Err("the factor must be a finite number".to_owned()),
            Err(_) => (text, 1.0),
        },
        None => (text, 1.0),
    };
    if path.is_empty() {
        return Err("there is no file before the factor".to_owned());
    }
    Ok(AdapterArgument { path: PathBuf::from(path), factor })
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

#[cfg(test)]
mod tests {
    use super::{AdapterArgument, adapter};

    #[test]
    fn only_a_number_after_the_last_equals_sign_is_a_factor() {
        let read = |path: &str, factor| Ok(AdapterArgument { path: path.into(), factor });
        assert_eq!(adapter("a.gguf"), read("a.gguf", 1.0));
        assert_eq!(adapter("a.gguf=0.5"), read("a.gguf", 0.5));
        assert_eq!(adapter("a=b/c.gguf"), read("a=b/c.gguf", 1.0));
        assert_eq!(adapter("a=b.gguf=-2"), read("a=b.gguf", -2.0));
        assert!(adapter("=1").is_err());
        assert!(adapter("a.gguf=inf").is_err());
    }
}
