//! Where things are: the checkout, and the cache outside it that every checkout shares.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{Result, XtaskError, invalid};

/// The checkout and the cache.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    root: PathBuf,
    cache: PathBuf,
}

impl Context {
    /// Finds the checkout from the working directory upwards and the cache from the environment.
    pub(crate) fn discover() -> Result<Self> {
        let start = env::current_dir().map_err(|source| XtaskError::Io {
            action: "read",
            path: PathBuf::from("the working directory"),
            source,
        })?;
        let root = start
            .ancestors()
            .find(|folder| folder.join("wasm-pack.toml").is_file() && folder.join("crates/xtask").is_dir())
            .ok_or_else(|| invalid(start.display(), "not inside a checkout of the project; change into one"))?
            .to_path_buf();
        let cache = match env::var_os("NEARSIDE_CACHE") {
            Some(path) if !path.is_empty() => std::path::absolute(path)
                .map_err(|error| invalid("NEARSIDE_CACHE", format!("not a usable path: {error}")))?,
            _ => user_cache()?.join("nearside"),
        };
        Ok(Self { root, cache })
    }

    /// A checkout and a cache for tests.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf, cache: PathBuf) -> Self {
        Self { root, cache }
    }

    /// The top folder of the checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the checkout.
    pub(crate) fn in_root(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The cache's top folder.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// A tool's own folder; the version in its name keeps two checkouts from sharing the wrong one.
    pub(crate) fn tool(&self, name: &str, version: &str) -> PathBuf {
        self.cache.join("tools").join(format!("{name}-{version}"))
    }

    /// Where model files are kept.
    pub(crate) fn models(&self) -> PathBuf {
        self.cache.join("models")
    }

    /// Where the reference's vocabularies and templates are kept.
    pub(crate) fn vocabularies(&self) -> PathBuf {
        self.cache.join("vocabularies")
    }

    /// Cargo's target folder for native builds.
    pub(crate) fn target(&self) -> PathBuf {
        self.cache.join("target")
    }

    /// Cargo's target folder for the engine as WebAssembly.
    pub(crate) fn wasm_target(&self) -> PathBuf {
        self.target().join("wasm")
    }

    /// Cargo's target folder for the engine with threads. Unstable options are allowed there, to build the standard
    /// library, and the build scripts of some crates look at that: in one folder the two would forever undo each other.
    pub(crate) fn wasm_threads_target(&self) -> PathBuf {
        self.target().join("wasm-threads")
    }

    /// Cargo's target folder for the Worker, whose standard library is built with unwinding.
    pub(crate) fn worker_target(&self) -> PathBuf {
        self.target().join("worker")
    }

    /// A native program that cargo built for us.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target().join("debug").join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }

    /// Where the stamps of finished work in this checkout are kept.
    pub(crate) fn stamps(&self) -> PathBuf {
        self.root.join("target").join("xtask")
    }

    /// A program that an npm package put into `node_modules`.
    pub(crate) fn node_program(&self, name: &str) -> PathBuf {
        self.root.join("node_modules").join(".bin").join(name)
    }
}

fn user_cache() -> Result<PathBuf> {
    if let Some(path) = env::var_os("XDG_CACHE_HOME").filter(|path| Path::new(path).is_absolute()) {
        return Ok(PathBuf::from(path));
    }
    env::home_dir()
        .map(|home| home.join(".cache"))
        .ok_or_else(|| invalid("HOME", "not set, so there is no place for the cache; set NEARSIDE_CACHE to a folder"))
}
