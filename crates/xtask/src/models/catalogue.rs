//! `models/catalogue.json`: which models there are, where their bytes come from and what those bytes must be.

use std::collections::HashSet;
use std::fs;

use crate::context::Context;
use crate::error::{Doing, Result, invalid};

/// The list of models.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalogue {
    pub(crate) models: Vec<Model>,
}

/// One model file.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) architecture: String,
    pub(crate) quantization: String,
    pub(crate) licence: String,
    /// Absent where the publisher's size was not read.
    pub(crate) bytes: Option<u64>,
    pub(crate) sha256: String,
    /// The pieces of the file, in order, where packages carry it.
    #[serde(default)]
    pub(crate) parts: Vec<Part>,
    /// The address of the whole file, where a hub carries it.
    pub(crate) url: Option<String>,
}

/// A piece of a model inside a package.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    pub(crate) registry: Registry,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) member: String,
}

/// Which ordinary client brings a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Registry {
    Pypi,
    Npm,
}

impl Catalogue {
    /// Reads and validates the project's catalogue.
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let path = context.in_root("models/catalogue.json");
        let text = fs::read_to_string(&path).doing("read", &path)?;
        Self::parse(&text).map_err(|problem| invalid(path.display(), problem))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let catalogue: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let (mut ids, mut files) = (HashSet::new(), HashSet::new());
        for model in &catalogue.models {
            model.validate().map_err(|problem| format!("model {}: {problem}", model.id))?;
            if !ids.insert(model.id.as_str()) {
                return Err(format!("model {}: the id is there twice", model.id));
            }
            if !files.insert(model.file.as_str()) {
                return Err(format!("model {}: the file {} is there twice", model.id, model.file));
            }
        }
        Ok(catalogue)
    }

    /// The model of an id.
    pub(crate) fn find(&self, id: &str) -> Result<&Model> {
        self.models.iter().find(|model| model.id == id).ok_or_else(|| {
            let ids: Vec<_> = self.models.iter().map(|model| model.id.as_str()).collect();
            invalid(id, format!("no such model; there are {}", ids.join(", ")))
        })
    }
}

impl Model {
    fn validate(&self) -> std::result::Result<(), String> {
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err("sha256 must be 64 lower-case hexadecimal digits".to_owned());
        }
        // The name becomes a path in the cache and in the site's addresses.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if self.file.is_empty() || self.file.starts_with('.') || !self.file.bytes().all(plain) {
            return Err(format!("file {:?} must be a plain file name", self.file));
        }
        match (&self.url, self.parts.is_empty()) {
            (Some(url), true) if url.starts_with("https://") => Ok(()),
            (Some(url), true) => Err(format!("url {url:?} must begin with https://")),
            (None, false) => Ok(()),
            _ => Err("it must have either parts or a url".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(changes: &[(&str, serde_json::Value)]) -> std::result::Result<Catalogue, String> {
        let mut model = serde_json::json!({
            "id": "a", "name": "A", "file": "a.gguf", "architecture": "llama", "quantization": "Q4_1",
            "licence": "MIT", "sha256": "0".repeat(64), "url": "https://example.org/a.gguf"
        });
        for (key, value) in changes {
            model[key] = value.clone();
        }
        Catalogue::parse(&serde_json::json!({ "models": [model] }).to_string())
    }

    #[test]
    fn the_project_s_own_catalogue_is_valid() {
        let text = include_str!("../../../../models/catalogue.json");
        let catalogue = Catalogue::parse(text).unwrap();
        assert_eq!(catalogue.find("smollm2").unwrap().parts.len(), 1);
        assert_eq!(catalogue.find("qwen2.5").unwrap().parts.len(), 22);
        assert!(catalogue.find("nothing").unwrap_err().to_string().contains("smollm2"));
    }

    #[test]
    fn a_bad_entry_is_named_with_its_fault() {
        assert!(one(&[]).is_ok());
        for (key, value, said) in [
            ("sha256", "XYZ", "sha256"),
            ("file", "../../etc/passwd", "plain file name"),
            ("file", ".hidden", "plain file name"),
            ("url", "http://example.org/a", "https://"),
        ] {
            let problem = one(&[(key, value.into())]).unwrap_err();
            assert!(problem.contains("model a") && problem.contains(said), "{problem}");
        }
        assert!(one(&[("url", serde_json::Value::Null)]).unwrap_err().contains("either parts or a url"));
    }
}
