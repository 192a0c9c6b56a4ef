//! From a request's target to a file below a folder, never above it.

use std::path::{Path, PathBuf};

/// The path of a request's target, decoded and split; `None` for one that no honest page asks for.
pub(super) fn segments(target: &str) -> Option<Vec<String>> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let mut segments = Vec::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let decoded = decode(segment)?;
        let unsafe_character = |character: char| matches!(character, '/' | '\\' | ':') || character.is_control();
        if decoded == "." || decoded == ".." || decoded.contains(unsafe_character) {
            return None;
        }
        segments.push(decoded);
    }
    Some(segments)
}

/// The file below `root`; symbolic links that lead out of it do not count.
pub(super) fn below(root: &Path, segments: &[String]) -> Option<PathBuf> {
    let root = root.canonicalize().ok()?;
    let mut path = root.clone();
    path.extend(segments);
    let path = path.canonicalize().ok()?;
    let path = if path.is_dir() { path.join("index.html").canonicalize().ok()? } else { path };
    (path.starts_with(&root) && path.is_file()).then_some(path)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { digit(rest.next()?)? * 16 + digit(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn ordinary_targets() {
        assert_eq!(segments("/").unwrap(), Vec::<String>::new());
        assert_eq!(segments("/a/b%20c.js?v=1#x").unwrap(), ["a", "b c.js"]);
    }

    #[test]
    fn targets_that_try_to_leave() {
        for target in
            ["/../x", "/a/%2e%2e/x", "/..%2fx", "/%5c..%5cx", "/%00", "/%zz", "/%2", "/%ff", "x", "http://host/"]
        {
            assert_eq!(segments(target), None, "{target}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("site");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("index.html"), "home").unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), root.join("link")).unwrap();
        assert!(below(&root, &[]).is_some());
        assert_eq!(below(&root, &["link".to_owned()]), None);
        assert_eq!(below(&root, &["absent".to_owned()]), None);
    }
}
