//! What a page downloads of ours, compressed as a careful host would, and the budget for it.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::stamp::hex;
use super::wasm;
use crate::context::Context;
use crate::error::{Doing, Result, XtaskError, invalid};
use crate::output;
use crate::run::Run;

/// What a page may download besides weights: all JavaScript of the package and one build of the engine.
const BUDGET: u64 = 1_300_000;

/// Node carries the compressor, at its strongest.
const COMPRESS: &str = "
const { readFileSync } = require('node:fs');
const { brotliCompressSync } = require('node:zlib');
for (const file of process.argv.slice(2)) {
  console.log(brotliCompressSync(readFileSync(file)).length);
}
";

/// The download of one build of the engine.
#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) build: String,
    /// Brotli bytes of JavaScript and wasm.
    pub(crate) bytes: u64,
}

/// The download with each build of the engine. A page takes exactly one of them.
pub(crate) fn downloads(context: &Context) -> Result<Vec<Download>> {
    let common = brotli(context, &scripts(&context.in_root("web/package/dist"))?)?;
    let names = wasm::names(context)?;
    names
        .into_iter()
        .map(|build| {
            let folder = wasm::folder(context).join(&build);
            let mut files = scripts(&folder)?;
            files.extend(with_ending(&folder, "wasm")?);
            Ok(Download { build, bytes: common + brotli(context, &files)? })
        })
        .collect()
}

/// Fails when a page would download more than it may.
pub(super) fn keep_budget(context: &Context) -> Result<()> {
    for Download { build, bytes } in downloads(context)? {
        output::line("size", &format!("{build}: {} of {} brotli", output::bytes(bytes), output::bytes(BUDGET)));
        if bytes > BUDGET {
            let problem = format!(
                "with the build `{build}` a page downloads {bytes} bytes (brotli), {} more than the budget; \
                 see what grew with `cargo xtask bench size`",
                bytes - BUDGET
            );
            return Err(XtaskError::Stopped(problem));
        }
    }
    Ok(())
}

/// The scripts of a folder, not of those in it.
fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    with_ending(folder, "js")
}

fn with_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).doing("read the folder", folder)? {
        let path = entry.doing("read the folder", folder)?.path();
        if path.extension().is_some_and(|found| found == ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The compressed sizes of files, added. Compressing megabytes this hard takes seconds, so each file's size is kept.
pub(crate) fn brotli(context: &Context, files: &[PathBuf]) -> Result<u64> {
    let folder = context.cache().join("brotli");
    fs::create_dir_all(&folder).doing("make the folder", &folder)?;
    let mut total = 0;
    for file in files {
        let kept = folder.join(hex(&Sha256::digest(fs::read(file).doing("read", file)?)));
        let known = fs::read_to_string(&kept).ok().and_then(|text| text.trim().parse::<u64>().ok());
        if let Some(size) = known {
            total += size;
            continue;
        }
        let text = Run::new("node").args(["--eval", COMPRESS, "--", "size"]).arg(file).capture()?;
        total += text.trim().parse::<u64>().map_err(|error| invalid(file.display(), error))?;
        fs::write(&kept, &text).doing("write", &kept)?;
    }
    Ok(total)
}
