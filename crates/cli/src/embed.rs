//! `nearside embed`: texts as vectors.

use clap::{Args, ValueEnum};
use nearside_engine::{EngineError, Pooling, normalize};
use nearside_text::SpecialTokens;
use serde::Serialize;

use crate::arguments::{CommonArguments, ModelArguments, text_or_stdin};
use crate::backend::BackendReport;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::model::open;
use crate::output;
use crate::progress::Progress;

/// The examples below the options.
const EXAMPLES: &str = "\
Examples:
  nearside embed --model smollm2.gguf --text \"A cat sat on the mat.\"
  nearside embed --model qwen.gguf --text \"one\" --text \"two\" --pooling last --json
  nearside embed --model qwen.gguf --text - --raw < page.txt

Without --json each vector is a line of numbers.";

/// Turn texts into vectors
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    /// A text; `-` reads it from standard input; may be given several times
    #[arg(long, value_name = "TEXT", required = true)]
    text: Vec<String>,

    /// How the tokens' hidden states become one vector
    #[arg(long, value_name = "WAY", default_value = "mean")]
    pooling: PoolingName,

    /// Leave the vectors as long as they come instead of giving them length 1
    #[arg(long)]
    raw: bool,
}

/// How the tokens' hidden states become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PoolingName {
    /// Their mean
    Mean,
    /// The last token's
    Last,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    backend: BackendReport,
    embeddings: Vec<Embedding>,
}

#[derive(Serialize)]
struct Embedding {
    tokens: usize,
    embedding: Vec<f32>,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments, common: CommonArguments, interrupt: &Interrupt) -> Result<(), Failure> {
    let texts = arguments.text.iter().map(|text| text_or_stdin(text)).collect::<Result<Vec<_>, _>>()?;
    let mut engine = open(&arguments.model, common, interrupt).await?.engine;
    let pooling = match arguments.pooling {
        PoolingName::Mean => Pooling::Mean,
        PoolingName::Last => Pooling::Last,
    };
    let mut progress = Progress::new();
    let mut embeddings = Vec::with_capacity(texts.len());
    for (number, text) in texts.iter().enumerate() {
        progress.show(|| format!("text {} of {}", number + 1, texts.len()));
        let special = SpecialTokens { add: true, parse: false };
        let tokens = engine.tokenizer().encode(text, special).map_err(EngineError::from)?;
        let mut embedding = engine.embed(&tokens, pooling).await?;
        if !arguments.raw {
            normalize(&mut embedding);
        }
        interrupt.check()?;
        embeddings.push(Embedding { tokens: tokens.len(), embedding });
    }
    drop(progress);
    if common.json {
        let info = engine.info();
        return output::write_json(&Report {
            model: &info.name,
            backend: BackendReport::from(&info.backend),
            embeddings,
        });
    }
    for Embedding { embedding, .. } in embeddings {
        let numbers: Vec<String> = embedding.iter().map(f32::to_string).collect();
        output::write(&(numbers.join(" ") + "\n"))?;
    }
    Ok(())
}
