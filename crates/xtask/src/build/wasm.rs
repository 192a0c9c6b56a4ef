//! The engine as WebAssembly, in the variants that `wasm-pack.toml` lists.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use super::stamp::hex;
use crate::context::Context;
use crate::error::{Doing, Result, invalid};
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
    out_name: String,
    profile: String,
    features: Vec<String>,
    target_features: Vec<String>,
    optimizer_features: Vec<String>,
}

/// Where the variants go.
pub(crate) fn folder(context: &Context) -> PathBuf {
    context.in_root("web/package/dist/wasm")
}

/// Builds every variant.
pub(crate) fn build(context: &Context) -> Result<()> {
    setup::ensure(context, &[Tool::Rust, Tool::WasmBindgen, Tool::Node, Tool::Npm])?;
    for build in read(context)? {
        let module = compile(context, &build)?;
        finish(context, &build, &module)?;
    }
    Ok(())
}

fn read(context: &Context) -> Result<Vec<Build>> {
    let path = context.in_root("wasm-pack.toml");
    let text = fs::read_to_string(&path).doing("read", &path)?;
    let builds: Builds = toml::from_str(&text).map_err(|error| invalid(path.display(), error))?;
    Ok(builds.build)
}

fn compile(context: &Context, build: &Build) -> Result<PathBuf> {
    // The same flags in the same order as in .cargo/config.toml, so that checks and builds share dependencies.
    let features: Vec<_> = build.target_features.iter().map(|feature| format!("+{feature}")).collect();
    let flags = [
        "--cfg".to_owned(),
        "getrandom_backend=\"wasm_js\"".to_owned(),
        format!("-Ctarget-feature={}", features.join(",")),
    ];
    let mut run = Run::cargo(&context.wasm_target())
        .args(["build", "--locked", "--target", TARGET, "--profile", &build.profile, "--package", &build.package])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .without_env("RUSTFLAGS")
        .folder(context.root());
    if !build.features.is_empty() {
        run = run.arg("--features").arg(build.features.join(","));
    }
    run.stream()?;
    let file = format!("{}.wasm", build.package.replace('-', "_"));
    Ok(context.wasm_target().join(TARGET).join(&build.profile).join(file))
}

/// JavaScript and optimised wasm for a compiled module; a module that was finished before comes from the cache.
fn finish(context: &Context, build: &Build, module: &Path) -> Result<()> {
    let input = fs::read(module).doing("read", module)?;
    let optimise = optimiser_arguments(build);
    let mut hasher = Sha256::new();
    hasher.update(&input);
    hasher.update(format!("{optimise:?} {} {} {GLUE}", build.out_name, optimiser_version(context)?));
    let finished = context.cache().join("wasm").join(hex(&hasher.finalize()));
    let wasm = format!("{}_bg.wasm", build.out_name);

    if !finished.is_dir() {
        let making = finished.with_extension(format!("making-{}", std::process::id()));
        fs::create_dir_all(&making).doing("make the folder", &making)?;
        Bindgen::new()
            .input_path(module)
            .out_name(&build.out_name)
            .typescript(true)
            .omit_default_module_path(false)
            .web(true)
            .and_then(|bindgen| bindgen.generate(&making))
            .map_err(|error| invalid(module.display(), format!("wasm-bindgen: {error:#}")))?;
        let plain = making.join(&wasm);
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
        &format!(
            "{}: {} after wasm-opt, {} before",
            build.name,
            output::bytes(size),
            output::bytes(input.len() as u64)
        ),
    );
    Ok(())
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
