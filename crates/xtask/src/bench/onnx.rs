//! The model as transformers.js loads it, made by a Python script in an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};

use super::python;
use crate::build::stamp::Stamp;
use crate::context::Context;
use crate::error::{Doing, Result};
use crate::output;
use crate::run::Run;

const SCRIPT: &str = "tests/browser/bench/make_onnx.py";
const PACKAGES: [&str; 4] = ["gguf==0.19.0", "numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.31.1"];

/// The folder of models, with `name` in it, made from the GGUF file.
pub(super) fn ensure(context: &Context, model: &Path, name: &str) -> Result<PathBuf> {
    let folder = super::folder(context).join("onnx");
    let out = folder.join(name);
    let stamp = Stamp::of(context, &format!("onnx-{name}"), &[context.in_root(SCRIPT)], &PACKAGES)?;
    if stamp.fresh() && out.join("onnx/model_quantized.onnx").is_file() {
        return Ok(folder);
    }
    output::step(&format!("onnx model: {name}"), || {
        let python = python::ensure(context, "python", &PACKAGES)?;
        fs::create_dir_all(&out).doing("make the folder", &out)?;
        Run::new(python).arg(context.in_root(SCRIPT)).arg(model).arg(&out).label("onnx").stream()?;
        stamp.write()
    })?;
    Ok(folder)
}
