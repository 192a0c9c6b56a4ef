//! The npm packages that the lock file names, no others and in no other version.

use crate::build::stamp::Stamp;
use crate::context::Context;
use crate::error::Result;
use crate::run::Run;

fn stamp(context: &Context) -> Result<Stamp> {
    Stamp::of(context, "npm", &[context.in_root("package.json"), context.in_root("package-lock.json")], &[])
}

pub(super) fn present(context: &Context) -> Result<bool> {
    Ok(context.in_root("node_modules/.package-lock.json").is_file() && stamp(context)?.fresh())
}

pub(super) fn bring(context: &Context) -> Result<()> {
    // Install scripts only fetch what the optional packages of the lock file already bring.
    Run::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved"])
        .folder(context.root())
        .stream()?;
    stamp(context)?.write()
}
