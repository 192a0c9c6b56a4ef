//! The reference engine's own test data: vocabularies with texts and their ids, and a collection of chat templates.
//! They are not part of this project; its source package carries them.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::fetch::Scratch;
use crate::build::stamp::hex;
use crate::context::Context;
use crate::error::{Doing, Result, XtaskError, invalid};
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool};

const PACKAGE: &str = "llama-cpp-python";
const VERSION: &str = "0.3.36";
const FILE: &str = "llama_cpp_python-0.3.36.tar.gz";
const SHA256: &str = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e";
/// Where in the package the data lies.
const FOLDER: &str = "llama_cpp_python-0.3.36/vendor/llama.cpp/models";

/// Sees to it that the vocabularies are in the cache. Without them the tests that need them say that they are skipped,
/// so a machine without a network is told and not stopped.
pub(crate) fn ensure(context: &Context) {
    let note = context.vocabularies().join(".verified");
    if fs::read_to_string(&note).is_ok_and(|sha256| sha256 == SHA256) {
        return;
    }
    let fetched = output::step(&format!("vocabularies: {PACKAGE} {VERSION}"), || {
        fetch(context)?;
        fs::write(&note, SHA256).doing("write", &note)
    });
    if let Err(error) = fetched {
        output::say(&format!("         {error}"));
    }
}

fn fetch(context: &Context) -> Result<()> {
    let scratch = Scratch::new(context)?;
    let archive = scratch.path().join(FILE);
    let address = address(context)?;
    Run::new("curl")
        .args([
            "--fail",
            "--location",
            "--silent",
            "--show-error",
            "--retry",
            "3",
            "--proto",
            "=https,file",
            "--output",
        ])
        .arg(&archive)
        .arg(address)
        .capture()?;
    let found = sha256(&archive)?;
    if found != SHA256 {
        return Err(XtaskError::WrongHash { file: FILE.to_owned(), found, expected: SHA256.to_owned() });
    }
    unpack(&archive, &context.vocabularies())
}

/// Where the registry keeps the source package. Downloading it with pip would build it, which takes an hour; pip's own
/// account of what it finds names the address.
fn address(context: &Context) -> Result<String> {
    setup::ensure(context, &[Tool::Pip])?;
    let pip = setup::pip().ok_or_else(|| XtaskError::Missing {
        what: "pip".to_owned(),
        remedy: "sudo apt-get install -y python3-pip".to_owned(),
    })?;
    let account = pip.args(["index", "versions", PACKAGE, "--no-binary", ":all:", "-vv"]).capture()?;
    find_address(&account)
        .ok_or_else(|| invalid(PACKAGE, format!("pip finds no {FILE}; a newer pip may: python3 -m pip install -U pip")))
}

fn find_address(account: &str) -> Option<String> {
    let links = account.lines().filter_map(|line| line.trim_start().strip_prefix("Found link "));
    let addresses = links.filter_map(|link| link.split([' ', '#', ',']).next());
    addresses.filter(|address| address.ends_with(FILE)).map(str::to_owned).next()
}

fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).doing("open", path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk).doing("read", path)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&chunk[..count]),
        }
    }
}

fn unpack(archive: &Path, target: &Path) -> Result<()> {
    let file = File::open(archive).doing("open", archive)?;
    let mut tarball = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    fs::create_dir_all(target.join("templates")).doing("make the folder", target)?;
    for entry in tarball.entries().doing("read", archive)? {
        let mut entry = entry.doing("read", archive)?;
        let path = entry.path().doing("read", archive)?.into_owned();
        let Ok(name) = path.strip_prefix(FOLDER) else { continue };
        if !entry.header().entry_type().is_file() || !wanted(name) {
            continue;
        }
        let place = target.join(name);
        let mut out = BufWriter::new(File::create(&place).doing("create", &place)?);
        std::io::copy(&mut entry, &mut out).doing("write", &place)?;
    }
    Ok(())
}

/// `ggml-vocab-NAME.gguf`, its `.inp` and `.out`, and `templates/NAME.jinja`.
fn wanted(name: &Path) -> bool {
    let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    let text = name.to_string_lossy();
    let template = text.strip_prefix("templates/").is_some_and(|file| !file.contains('/'));
    let ending = name.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    plain
        && match ending {
            "jinja" => template,
            "gguf" | "inp" | "out" => text.starts_with("ggml-vocab-") && !text.contains('/'),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_pip_s_account() {
        let account = format!(
            "1 location(s) to search\n  Found link https://a.example/{FILE}.asc#sha256=0 (from https://b.example/)\n  \
             Skipping link: x\n  Found link https://a.example/x/{FILE}#sha256=0 (from https://b.example/), version: 1\n"
        );
        assert_eq!(find_address(&account), Some(format!("https://a.example/x/{FILE}")));
        assert_eq!(find_address("Skipping link"), None);
    }

    #[test]
    fn only_vocabularies_and_templates_are_unpacked() {
        for name in ["ggml-vocab-qwen2.gguf", "ggml-vocab-qwen2.gguf.inp", "templates/a.jinja"] {
            assert!(wanted(Path::new(name)), "{name}");
        }
        for name in ["../ggml-vocab-x.gguf", "/etc/a.jinja", "templates/../a.jinja", "templates/README.md", "a.jinja"] {
            assert!(!wanted(Path::new(name)), "{name}");
        }
    }
}
