//! The packages that ours is compared with: brought with npm, pinned by hash, kept in the cache.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use crate::build::stamp::hex;
use crate::context::Context;
use crate::error::{Doing, Result, XtaskError, invalid};
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool};

/// A published package in one version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// What it is called in reports and addresses.
    pub(super) name: &'static str,
    package: &'static str,
    version: &'static str,
    /// Of its tarball.
    sha256: &'static str,
}

/// llama.cpp in the browser.
pub(super) const WLLAMA: Peer = Peer {
    name: "wllama",
    package: "@wllama/wllama",
    version: "3.8.1",
    sha256: "bbe65fcc6d128d7853aed6d1699db7541e51a0363dc0135b8b68153acbf74670",
};

/// Models as ONNX graphs in the browser.
pub(super) const TRANSFORMERS: Peer = Peer {
    name: "transformers",
    package: "@huggingface/transformers",
    version: "4.3.1",
    sha256: "0325441d6bd7bc7697fccb32ee6e5febc7f89691e42402d071adc678237b8015",
};

/// The runtime that transformers.js loads, in the version that it names.
pub(super) const ONNX_RUNTIME: Peer = Peer {
    name: "onnxruntime-web",
    package: "onnxruntime-web",
    version: "1.31.0-dev.20260914-8d85527a0",
    sha256: "0de27582f3e3189dec4a2082513a0af1ea79ae7fd3039bbfe634a526e173cbe0",
};

impl Peer {
    /// Sees to it that the package is in the cache and gives its folder.
    pub(super) fn ensure(&self, context: &Context) -> Result<PathBuf> {
        let folder = super::folder(context).join(format!("{}-{}", self.name, self.version));
        if !folder.is_dir() {
            output::step(&format!("peer: {} {}", self.package, self.version), || self.bring(context, &folder))?;
        }
        Ok(folder)
    }

    fn bring(&self, context: &Context, folder: &Path) -> Result<()> {
        setup::ensure(context, &[Tool::Node])?;
        let making = folder.with_extension(format!("making-{}", std::process::id()));
        fs::create_dir_all(&making).doing("make the folder", &making)?;
        let brought = self.unpack(&making).and_then(|()| {
            fs::rename(making.join("package"), folder).doing("rename", &making)?;
            Ok(())
        });
        fs::remove_dir_all(&making).doing("remove", &making)?;
        brought
    }

    fn unpack(&self, folder: &Path) -> Result<()> {
        let tarball = Run::new("npm")
            .args(["pack", "--silent", "--ignore-scripts"])
            .arg(format!("{}@{}", self.package, self.version))
            .folder(folder)
            .capture()?;
        let tarball = folder.join(tarball.lines().last().unwrap_or_default());
        let bytes = fs::read(&tarball).doing("read", &tarball)?;
        let found = hex(&Sha256::digest(&bytes));
        if found != self.sha256 {
            return Err(XtaskError::WrongHash {
                file: tarball.display().to_string(),
                found,
                expected: self.sha256.to_owned(),
            });
        }
        let file = File::open(&tarball).doing("open", &tarball)?;
        tar::Archive::new(GzDecoder::new(BufReader::new(file)))
            .unpack(folder)
            .map_err(|error| invalid(tarball.display(), error))
    }
}
