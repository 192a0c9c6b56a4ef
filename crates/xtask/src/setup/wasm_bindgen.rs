//! The library that writes the JavaScript must be the very version of the crate that is compiled in.

use std::fs;

use crate::context::Context;
use crate::error::{Doing, Result, invalid};

#[derive(serde::Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    version: String,
}

pub(super) fn check(context: &Context) -> Result<()> {
    let path = context.in_root("Cargo.lock");
    let text = fs::read_to_string(&path).doing("read", &path)?;
    compare(&text).map_err(|problem| invalid(path.display(), problem))
}

fn compare(lock: &str) -> std::result::Result<(), String> {
    let lock: Lock = toml::from_str(lock).map_err(|error| error.to_string())?;
    let versions = |name: &str| {
        let found: Vec<_> = lock.package.iter().filter(|package| package.name == name).collect();
        found.iter().map(|package| package.version.as_str()).collect::<Vec<_>>().join(" and ")
    };
    let (compiled, library) = (versions("wasm-bindgen"), versions("wasm-bindgen-cli-support"));
    if compiled == library && !compiled.is_empty() {
        return Ok(());
    }
    Err(format!(
        "wasm-bindgen is {compiled} and wasm-bindgen-cli-support is {library}; run \
         `cargo update -p wasm-bindgen-cli-support --precise {compiled}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::compare;

    fn lock(compiled: &str, library: &str) -> String {
        format!(
            "version = 4\n[[package]]\nname = \"wasm-bindgen\"\nversion = \"{compiled}\"\n\
             [[package]]\nname = \"wasm-bindgen-cli-support\"\nversion = \"{library}\"\n"
        )
    }

    #[test]
    fn equal_versions_pass_and_others_say_what_to_run() {
        assert_eq!(compare(&lock("0.2.130", "0.2.130")), Ok(()));
        let problem = compare(&lock("0.2.130", "0.2.131")).unwrap_err();
        assert!(problem.contains("--precise 0.2.130"), "{problem}");
    }
}
