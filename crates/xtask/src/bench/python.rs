//! Python environments in the cache, with pinned packages and nothing of the system's.

use std::path::PathBuf;

use crate::context::Context;
use crate::error::Result;
use crate::run::Run;

/// The interpreter of an environment that holds these packages, which are brought if they are missing.
pub(super) fn ensure(context: &Context, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = super::folder(context).join(name);
    let python = folder.join("bin/python");
    if !python.is_file() {
        Run::new("python3").args(["-m", "venv"]).arg(&folder).label("python").stream()?;
    }
    Run::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages)
        .label("python")
        .stream()?;
    Ok(python)
}
