//! The npm package: TypeScript over the wasm, packed as a stranger would receive it.

use std::fs;

use super::stamp::Stamp;
use super::{size, wasm};
use crate::context::Context;
use crate::error::{Doing, Result, invalid};
use crate::output;
use crate::run::Run;

/// The packed package, under one name whatever its version, so that the demo can depend on it.
pub(super) const TARBALL: &str = "web/package/nearside.tgz";

pub(super) fn build(context: &Context) -> Result<()> {
    let folder = context.in_root("web/package");
    let tarball = context.in_root(TARBALL);
    let inputs = [folder.clone(), wasm::folder(context), context.in_root("package-lock.json")];
    let stamp = Stamp::of(context, "package", &inputs, &[])?;
    if stamp.fresh() && tarball.is_file() && folder.join("dist").is_dir() {
        output::line("package", "up to date");
        return Ok(());
    }
    Run::new("npm").args(["run", "build", "--silent"]).folder(&folder).label("package").stream()?;
    let listing = Run::new("npm").args(["pack", "--json", "--ignore-scripts"]).folder(&folder).capture()?;
    let packed = file_name(&listing).ok_or_else(|| invalid("npm pack --json", "it names no file"))?;
    let packed = folder.join(packed);
    fs::rename(&packed, &tarball).doing("rename", &packed)?;
    let size = fs::metadata(&tarball).doing("read", &tarball)?.len();
    output::line("package", &format!("{TARBALL}: {}", output::bytes(size)));
    size::keep_budget(context)?;
    stamp.write()
}

/// The file that `npm pack --json` says it wrote: newer versions key the list by package, older ones do not.
fn file_name(listing: &str) -> Option<String> {
    let listing: serde_json::Value = serde_json::from_str(listing).ok()?;
    let first = match &listing {
        serde_json::Value::Array(items) => items.first()?,
        serde_json::Value::Object(items) => items.values().next()?,
        _ => return None,
    };
    first.get("filename")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn finds_the_packed_file_in_both_shapes() {
        assert_eq!(file_name(r#"[{"filename":"a-1.tgz"}]"#).as_deref(), Some("a-1.tgz"));
        assert_eq!(file_name(r#"{"a":{"filename":"a-1.tgz"}}"#).as_deref(), Some("a-1.tgz"));
        assert_eq!(file_name("[]"), None);
    }
}
