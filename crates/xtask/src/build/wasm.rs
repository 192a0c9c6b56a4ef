//! The engine as WebAssembly, in the variants that `wasm-pack.toml` lists.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;
use wasmparser::{BinaryReaderError, Parser, Payload, TypeRef};

use super::stamp::{Stamp, hex};
use super::{exports, script};
use crate::context::Context;
use crate::error::{Doing, Result, XtaskError, invalid};
use crate::output;
use crate::run::Run;
use crate::setup::{self, Tool};

const TARGET: &str = "wasm32-unknown-unknown";

/// Which kind of JavaScript is made; another kind must not be taken from the cache for this one.
const GLUE: &str = "web with a default module path";

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Builds {
    build: Vec<Build>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Build {
    name: String,
    package: String,
    profile: String,
    target_features: Vec<String>,
    #[serde(default)]
    own_target_features: Vec<String>,
    #[serde(default)]
    shared_memory: bool,
    optimizer_features: Vec<String>,
}

impl Build {
    /// What its files are called. The build's name is in it, so that a bundler's results tell them apart.
    fn out_name(&self) -> String {
        format!("nearside-{}", self.name)
    }
}

/// Makes the linker import a memory that threads share, and export what starts a thread in it. Without them the
/// compiler says nothing and makes an ordinary memory.
const SHARED_MEMORY: [&str; 7] = [
    "--shared-memory",
    "--import-memory",
    "--max-memory=4294967296",
    "--export=__wasm_init_tls",
    "--export=__tls_size",
    "--export=__tls_align",
    "--export=__tls_base",
];

/// Where the variants go.
pub(crate) fn folder(context: &Context) -> PathBuf {
    context.in_root("web/package/dist/wasm")
}

/// The variants' names.
pub(super) fn names(context: &Context) -> Result<Vec<String>> {
    Ok(read(context)?.into_iter().map(|build| build.name).collect())
}

/// Builds every variant. Linking one and optimising one keep a processor busy each, so they go on side by side.
pub(crate) fn build(context: &Context) -> Result<()> {
    setup::ensure(context, &[Tool::Rust, Tool::WasmBindgen, Tool::Node, Tool::Npm])?;
    let builds = read(context)?;
    remove_others(context, &builds)?;
    // Variants with features of their own share a folder with those without, so Cargo alone would compile all of
    // them anew each time.
    let inputs = ["Cargo.toml", "Cargo.lock", ".cargo", "wasm-pack.toml", "package-lock.json", "crates"];
    let compiler = Run::new("rustc").arg("--version").folder(context.root()).capture()?;
    let stamp = Stamp::of(context, "wasm", &inputs.map(|input| context.in_root(input)), &[GLUE, &compiler])?;
    if stamp.fresh() && builds.iter().all(|build| folder(context).join(&build.name).is_dir()) {
        output::line("wasm", "up to date");
        return Ok(());
    }
    std::thread::scope(|scope| {
        let mut finishing = Vec::new();
        for build in &builds {
            let module = compile(context, build)?;
            finishing.push(scope.spawn(move || finish(context, build, module)));
        }
        for thread in finishing {
            thread.join().map_err(|_| XtaskError::Stopped("finishing a wasm build panicked".to_owned()))??;
        }
        Ok::<(), XtaskError>(())
    })?;
    stamp.write()
}

/// Removes the results of variants that are no longer listed, lest they be packed.
fn remove_others(context: &Context, builds: &[Build]) -> Result<()> {
    let folder = folder(context);
    fs::create_dir_all(&folder).doing("make the folder", &folder)?;
    for entry in fs::read_dir(&folder).doing("read the folder", &folder)? {
        let path = entry.doing("read the folder", &folder)?.path();
        if builds.iter().all(|build| path.file_name().is_none_or(|name| name != build.name.as_str())) {
            fs::remove_dir_all(&path).doing("remove", &path)?;
        }
    }
    Ok(())
}

fn read(context: &Context) -> Result<Vec<Build>> {
    let path = context.in_root("wasm-pack.toml");
    let text = fs::read_to_string(&path).doing("read", &path)?;
    let builds: Builds = toml::from_str(&text).map_err(|error| invalid(path.display(), error))?;
    Ok(builds.build)
}

/// The compiled module, which the next variant's replaces on disk.
fn compile(context: &Context, build: &Build) -> Result<Vec<u8>> {
    // The same flags in the same order as in .cargo/config.toml, so that checks and builds share dependencies.
    let mut flags =
        vec!["--cfg".to_owned(), "getrandom_backend=\"wasm_js\"".to_owned(), feature_flag(&build.target_features)];
    if build.shared_memory {
        flags.extend(SHARED_MEMORY.iter().map(|argument| format!("-Clink-arg={argument}")));
    }
    let target = if build.shared_memory { context.wasm_threads_target() } else { context.wasm_target() };
    let mut run = Run::cargo(&target)
        .args(["build", "--locked", "--target", TARGET, "--profile", &build.profile, "--package", &build.package])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .without_env("RUSTFLAGS")
        .folder(context.root());
    if build.shared_memory {
        run = run.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1");
    }
    if !build.own_target_features.is_empty() {
        run = run.env("RUSTC_WORKSPACE_WRAPPER", wrapper(context, &build.own_target_features)?);
    }
    run.stream()?;
    let file = format!("{}.wasm", build.package.replace('-', "_"));
    let file = target.join(TARGET).join(&build.profile).join(file);
    let module = fs::read(&file).doing("read", &file)?;
    exports::pruned(&module).map_err(|error| invalid(file.display(), error))
}

fn feature_flag(features: &[String]) -> String {
    let features: Vec<_> = features.iter().map(|feature| format!("+{feature}")).collect();
    format!("-Ctarget-feature={}", features.join(","))
}

/// A compiler for this project's crates that has some features more than the one for their dependencies.
fn wrapper(context: &Context, features: &[String]) -> Result<PathBuf> {
    let path = context.cache().join("wrappers").join(features.join("+"));
    script(&path, &format!("#!/bin/sh\nexec \"$@\" {}\n", feature_flag(features)))?;
    Ok(path)
}

/// JavaScript and optimised wasm for a compiled module; a module that was finished before comes from the cache.
fn finish(context: &Context, build: &Build, module: Vec<u8>) -> Result<()> {
    let compiled = module.len() as u64;
    let optimise = optimiser_arguments(build);
    let mut hasher = Sha256::new();
    hasher.update(&module);
    hasher.update(format!("{optimise:?} {} {} {GLUE}", build.out_name(), optimiser_version(context)?));
    let finished = context.cache().join("wasm").join(hex(&hasher.finalize()));
    let wasm = format!("{}_bg.wasm", build.out_name());

    if !finished.is_dir() {
        let making = finished.with_extension(format!("making-{}-{}", build.name, std::process::id()));
        fs::create_dir_all(&making).doing("make the folder", &making)?;
        Bindgen::new()
            .input_bytes(&build.out_name(), module)
            .out_name(&build.out_name())
            .typescript(true)
            .omit_default_module_path(false)
            .web(true)
            .and_then(|bindgen| bindgen.generate(&making))
            .map_err(|error| invalid(&build.name, format!("wasm-bindgen: {error:#}")))?;
        let plain = making.join(&wasm);
        check_memory(&plain, build.shared_memory)?;
        let small = making.join("optimised.wasm");
        Run::new(context.node_program("wasm-opt")).args(&optimise).arg(&plain).arg("-o").arg(&small).stream()?;
        fs::rename(&small, &plain).doing("rename", &small)?;
        // Another checkout may have finished the same module meanwhile; its result is as good.
        if fs::rename(&making, &finished).is_err() && !finished.is_dir() {
            return Err(invalid(making.display(), "cannot be moved into the cache; is the cache writable?"));
        }
    }

    let out = folder(context).join(&build.name);
    if out.exists() {
        fs::remove_dir_all(&out).doing("empty", &out)?;
    }
    copy(&finished, &out)?;
    let size = fs::metadata(out.join(&wasm)).doing("read", out.join(&wasm))?.len();
    output::line(
        "wasm",
        &format!("{}: {} after wasm-opt, {} before", build.name, output::bytes(size), output::bytes(compiled)),
    );
    Ok(())
}

/// Threads need a memory that is imported and shared; a page that is not isolated cannot have one.
fn check_memory(module: &Path, wanted: bool) -> Result<()> {
    let bytes = fs::read(module).doing("read", module)?;
    let shared = imports_shared_memory(&bytes).map_err(|error| invalid(module.display(), error))?;
    if shared == wanted {
        return Ok(());
    }
    let what = if wanted { "imports no shared memory; see the linker's arguments" } else { "imports a shared memory" };
    Err(invalid(module.display(), format!("{what}; wasm-pack.toml says otherwise")))
}

fn imports_shared_memory(module: &[u8]) -> std::result::Result<bool, BinaryReaderError> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                if let TypeRef::Memory(memory) = import?.ty {
                    return Ok(memory.shared);
                }
            }
        }
    }
    Ok(false)
}

fn optimiser_arguments(build: &Build) -> Vec<String> {
    let mut arguments = vec!["-O3".to_owned()];
    arguments.extend(build.optimizer_features.iter().map(|feature| format!("--enable-{feature}")));
    arguments
}

fn optimiser_version(context: &Context) -> Result<String> {
    Run::new(context.node_program("wasm-opt")).arg("--version").capture()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).doing("make the folder", to)?;
    for entry in fs::read_dir(from).doing("read the folder", from)? {
        let entry = entry.doing("read the folder", from)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).doing("copy", entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that imports the memory `m` `e` with these flags: 1 for a maximum, 2 for shared.
    fn importing(flags: u8) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        let limits: &[u8] = if flags & 1 == 1 { &[1, 2] } else { &[1] };
        let entry = [&[1, 1, b'm', 1, b'e', 2, flags], limits].concat();
        module.extend([2, entry.len() as u8]);
        module.extend(entry);
        module
    }

    #[test]
    fn a_shared_memory_is_told_from_an_ordinary_one() {
        assert_eq!(imports_shared_memory(&importing(3)).ok(), Some(true));
        assert_eq!(imports_shared_memory(&importing(0)).ok(), Some(false));
        assert_eq!(imports_shared_memory(b"\0asm\x01\0\0\0").ok(), Some(false), "a memory of its own");
        assert!(imports_shared_memory(b"not a module").is_err());
    }
}
