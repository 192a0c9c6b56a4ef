//! Vulkan without a GPU: Mesa's lavapipe, and the `SwiftShader` that Chromium carries.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Result;

/// Lavapipe's driver file, for `VK_ICD_FILENAMES`.
pub(crate) fn lavapipe() -> Option<PathBuf> {
    fs::read_dir("/usr/share/vulkan/icd.d")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd")))
}

/// `SwiftShader`'s driver file, which lies beside Chromium's own program.
pub(crate) fn swiftshader() -> Option<PathBuf> {
    let beside = super::find_chromium()
        .and_then(|path| fs::canonicalize(path).ok())
        .and_then(|path| Some(path.parent()?.to_path_buf()));
    beside
        .into_iter()
        .chain([PathBuf::from("/usr/lib/chromium"), PathBuf::from("/opt/google/chrome")])
        .map(|folder| folder.join("vk_swiftshader_icd.json"))
        .find(|path| path.is_file())
}

fn loader() -> bool {
    let folders =
        ["/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/lib"];
    folders.iter().any(|folder| Path::new(folder).join("libvulkan.so.1").exists())
}

pub(super) fn present() -> bool {
    // Elsewhere the system brings its own graphics, and the tests for software drivers say that they are skipped.
    !cfg!(target_os = "linux") || (loader() && lavapipe().is_some())
}

pub(super) fn bring() -> Result<()> {
    super::apt::install("Vulkan's software driver", &["mesa-vulkan-drivers", "libvulkan1"])
}
