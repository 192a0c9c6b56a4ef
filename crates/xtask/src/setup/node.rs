//! Node and npm, which cannot be brought without choosing how a person installs things.

use crate::error::{Result, XtaskError};
use crate::run::Run;

/// The first version of Node 20 that can limit the time of a test.
const OLDEST: (u32, u32) = (20, 11);

pub(super) fn check() -> Result<()> {
    let remedy = "the installer of https://nodejs.org/en/download (any version from 20.11 on), then this again";
    let missing = |what: String| XtaskError::Missing { what, remedy: remedy.to_owned() };
    let version = Run::new("node").arg("--version").capture().map_err(|_| missing("Node".to_owned()))?;
    if number(&version).is_none_or(|number| number < OLDEST) {
        return Err(missing(format!("Node {}.{} or newer (here is {version})", OLDEST.0, OLDEST.1)));
    }
    Run::new("npm").arg("--version").capture().map_err(|_| missing("npm".to_owned()))?;
    Ok(())
}

fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v')?.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, number};

    #[test]
    fn compares_versions_as_numbers() {
        assert!(number("v20.9.0").unwrap() < OLDEST);
        assert!(number("v22.1.0").unwrap() > OLDEST);
        assert_eq!(number("garbage"), None);
    }
}
