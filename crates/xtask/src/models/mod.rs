//! Models: brought into the cache, verified, never kept in the checkout.

mod catalogue;
mod fetch;
mod store;
mod vocabularies;

use std::path::PathBuf;

pub(crate) use catalogue::{Catalogue, Model};
pub(crate) use vocabularies::ensure as ensure_vocabularies;

use crate::context::Context;
use crate::error::Result;
use crate::output;

/// The model that tests and the demo need.
pub(crate) const DEFAULT: &str = "smollm2";

/// Sees to it that a model is in the cache and gives its path.
pub(crate) fn ensure(context: &Context, id: &str) -> Result<PathBuf> {
    let catalogue = Catalogue::read(context)?;
    let model = catalogue.find(id)?;
    if cached(context, model)? {
        return Ok(context.models().join(&model.file));
    }
    output::step(&format!("model: {} ({}, {})", model.name, model.quantization, model.licence), || {
        fetch::fetch(context, model)
    })
}

/// Whether the model is in the cache with the right hash.
pub(crate) fn cached(context: &Context, model: &Model) -> Result<bool> {
    store::verified(&context.models(), model)
}

/// Brings the models of these ids, or the default one.
pub(crate) fn bring(context: &Context, ids: &[String]) -> Result<()> {
    let default = [DEFAULT.to_owned()];
    for id in if ids.is_empty() { &default } else { ids } {
        let path = ensure(context, id)?;
        output::say(&format!("{id}: {}", path.display()));
    }
    Ok(())
}

/// Prints the catalogue and what of it is in the cache.
pub(crate) fn list(context: &Context) -> Result<()> {
    for model in &Catalogue::read(context)?.models {
        let here = if cached(context, model)? { "cached" } else { "-" };
        let size = model.bytes.map_or_else(|| "size unknown".to_owned(), output::bytes);
        output::say(&format!(
            "{:<30} {:<7} {:<8} {:<12} {:<20} {here}",
            model.id, model.architecture, model.quantization, size, model.licence
        ));
    }
    Ok(())
}
