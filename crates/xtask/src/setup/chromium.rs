//! The browser that the tests and the demo's check drive.

use std::path::PathBuf;

use crate::error::Result;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The browser: the one that `NEARSIDE_CHROMIUM` names, else the first on `PATH`.
pub(crate) fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("NEARSIDE_CHROMIUM").filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    let folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

pub(super) fn bring() -> Result<()> {
    super::apt::install("Chromium", &["chromium"])
}
