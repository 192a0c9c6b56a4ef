//! Node and npm, which cannot be brought without choosing how a person installs things.

use crate::error::{Result, XtaskError};
use crate::run::Run;

const OLDEST: u32 = 20;

pub(super) fn check() -> Result<()> {
    let remedy = "the installer of https://nodejs.org/en/download (any version from 20 on), then this again";
    let missing = |what: String| XtaskError::Missing { what, remedy: remedy.to_owned() };
    let version = Run::new("node").arg("--version").capture().map_err(|_| missing("Node".to_owned()))?;
    if major(&version).is_none_or(|major| major < OLDEST) {
        return Err(missing(format!("Node {OLDEST} (here is {version})")));
    }
    Run::new("npm").arg("--version").capture().map_err(|_| missing("npm".to_owned()))?;
    Ok(())
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn reads_the_major_version() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("garbage"), None);
    }
}
