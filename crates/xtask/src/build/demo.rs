//! The demo site, which installs the packed package as a stranger would and is built by Vite.

use super::package::TARBALL;
use super::stamp::Stamp;
use crate::context::Context;
use crate::error::Result;
use crate::output;
use crate::run::Run;

pub(super) fn build(context: &Context) -> Result<()> {
    let folder = context.in_root("web/demo");
    let stamp = Stamp::of(context, "demo", &[folder.clone(), context.in_root(TARBALL)], &[])?;
    if stamp.fresh() && folder.join("dist/index.html").is_file() {
        output::line("demo", "up to date");
        return Ok(());
    }
    // Our own tarball is new with every build, so the lock file names it without a hash; `check` sees to that.
    Run::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved"])
        .folder(&folder)
        .label("demo")
        .stream()?;
    Run::new("npm").args(["run", "build"]).folder(&folder).label("demo").stream()?;
    stamp.write()
}
