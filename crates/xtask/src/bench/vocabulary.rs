//! How long the largest vocabularies take to load, natively, as WebAssembly, and in a page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nearside_gguf::{DataType, Gguf, Value, Writer};

use crate::build::{self, Part};
use crate::context::Context;
use crate::error::{Doing, Result, invalid};
use crate::models;
use crate::run::Run;
use crate::setup::{self, Tool};
use crate::test;

/// The tokenizers with 128k to 262k tokens among the reference's.
const VOCABULARIES: [&str; 4] = ["llama-bpe", "qwen2", "qwen35", "gemma-4"];
/// Loads in the page after a first one.
const ROUNDS: usize = 7;
/// Every width of a model that is only there for its vocabulary: one block of `Q8_0`.
const WIDTH: u64 = 32;

pub(super) fn run(context: &Context) -> Result<ExitCode> {
    setup::ensure(context, &[Tool::Rust, Tool::Node, Tool::Npm, Tool::Chromium])?;
    models::ensure_vocabularies(context);
    let runner = format!("node --no-warnings {}", context.in_root("crates/xtask/wasi.mjs").display());
    let example = |target: &Path| {
        Run::cargo(target)
            .args(["run", "--quiet", "--locked", "--release", "--package", "nearside-text", "--example", "load"])
            .folder(context.root())
    };
    let files = VOCABULARIES.map(|name| (name, context.vocabularies().join(format!("ggml-vocab-{name}.gguf"))));
    for (name, file) in &files {
        example(&context.target()).arg("--").arg(file).label(&format!("{name}, native")).stream()?;
        example(&context.wasm_target())
            .args(["--target", "wasm32-wasip1", "--"])
            .arg(file)
            .env("CARGO_TARGET_WASM32_WASIP1_RUNNER", &runner)
            .env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", "-Ctarget-feature=+simd128")
            .label(&format!("{name}, wasm"))
            .stream()?;
    }
    build::build(context, &[Part::Package])?;
    let models: Result<Vec<PathBuf>> = files.iter().map(|(name, file)| model(context, name, file)).collect();
    let script = Run::new("node")
        .arg(context.in_root("tests/browser/bench/vocabulary-bench.mjs"))
        .arg(ROUNDS.to_string())
        .args(models?)
        .label("page")
        .folder(context.root());
    test::with_tools(context, script).and_then(super::report)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a model that has that vocabulary and next to nothing else, so that a page can load it.
fn model(context: &Context, name: &str, vocabulary: &Path) -> Result<PathBuf> {
    let bytes = fs::read(vocabulary).doing("read", vocabulary)?;
    let gguf = Gguf::read(&bytes).map_err(|error| invalid(vocabulary.display(), error.to_string()))?;
    let tokens = gguf.metadata.texts("tokenizer.ggml.tokens");
    let tokens = tokens.map_err(|error| invalid(vocabulary.display(), error.to_string()))?.len() as u64;
    let mut writer = Writer::new()
        .metadata("general.architecture", Value::Text("llama".to_owned()))
        .metadata("llama.attention.layer_norm_rms_epsilon", Value::Float(1e-5));
    for (key, size) in [
        ("block_count", 1),
        ("context_length", 512),
        ("embedding_length", WIDTH),
        ("feed_forward_length", WIDTH),
        ("attention.head_count", 1),
    ] {
        writer = writer.metadata(&format!("llama.{key}"), Value::Unsigned(size));
    }
    for (key, value) in gguf.metadata.iter().filter(|(key, _)| key.starts_with("tokenizer.")) {
        writer = writer.metadata(key, value.clone());
    }
    let zeros = |format: DataType, rows: u64| {
        let elements = rows * WIDTH;
        vec![0; elements as usize / format.block_elements() * format.block_bytes()]
    };
    writer = writer.tensor("token_embd.weight", DataType::Q8_0, &[WIDTH, tokens], &zeros(DataType::Q8_0, tokens));
    for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
        writer = writer.tensor(&format!("{name}.weight"), DataType::F32, &[WIDTH], &zeros(DataType::F32, 1));
    }
    for part in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        let square = zeros(DataType::Q8_0, WIDTH);
        writer = writer.tensor(&format!("blk.0.{part}.weight"), DataType::Q8_0, &[WIDTH, WIDTH], &square);
    }
    let folder = super::folder(context);
    fs::create_dir_all(&folder).doing("make the folder", &folder)?;
    let path = folder.join(format!("vocabulary-{name}.gguf"));
    fs::write(&path, writer.finish()).doing("write", &path)?;
    Ok(path)
}
