//! Debian packages: brought when we are root on Debian, else the line to run.

use std::path::Path;

use crate::error::{Result, XtaskError};
use crate::run::Run;

pub(super) fn install(what: &str, packages: &[&str]) -> Result<()> {
    let root = Run::new("id").arg("-u").capture().is_ok_and(|id| id == "0");
    if !root || !Path::new("/usr/bin/apt-get").exists() {
        return Err(XtaskError::Missing {
            what: what.to_owned(),
            remedy: format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" ")),
        });
    }
    Run::new("apt-get").args(["update", "-q"]).stream()?;
    Run::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stream()
}
