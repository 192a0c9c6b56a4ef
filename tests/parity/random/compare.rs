//! How near a backend comes to what the reference engine made of the random models.

use std::ops::ControlFlow;
use std::path::Path;

use nearside_engine::backend::{Backend, BackendError};
use nearside_engine::{Engine, EngineError, EngineOptions};
use nearside_gguf::DataType;
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[path = "models.rs"]
mod models;

use models::RandomModel;

/// How far logits may be from the reference's where every weight is a 32-bit float and so is the
/// reference's cache. Theirs is then plain arithmetic; ours keeps keys and values in 16 bits.
const EXACT: f32 = 0.02;
/// The same where weights are quantized: the reference rounds the inputs of each product to 8 bits, or 16
/// where weights have 16, and after a few layers of random weights that adds up.
const ROUNDED: f32 = 0.35;

/// What the reference engine answered in one context.
#[derive(Deserialize)]
struct Vector {
    /// The file it read.
    sha256: String,
    context: usize,
    /// Where in the text it was asked.
    positions: Vec<usize>,
    /// The logits after each of these.
    logits: Vec<Vec<f32>>,
}

/// Compares every model in every context and fails with all that are too far off. A format that the
/// backend does not have skips the model.
pub(crate) fn compare(name: &str, backend: &dyn Backend) {
    let mut failures = Vec::new();
    for model in models::models() {
        let file = model.file();
        let hash = Sha256::digest(&file).iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
        for context in model.contexts {
            let label = format!("{name}: {} in a context of {context}", model.name);
            let vector = vector(&model, *context);
            assert_eq!(vector.sha256, hash, "{label}: the reference read another file");
            match pollster::block_on(largest_difference(&model, &file, &vector, backend)) {
                Err(EngineError::Backend(BackendError::Unsupported { what, .. })) => {
                    eprintln!("skipped: {label}: {what} is not supported");
                }
                Err(error) => failures.push(format!("{label}: {error}")),
                Ok(difference) => {
                    let bound = if model.is_exact() { EXACT } else { ROUNDED };
                    println!("{label}: logits differ by {difference:.5}, {bound} allowed");
                    // A difference that is not a number is none that is small enough.
                    if difference.is_nan() || difference > bound {
                        failures.push(format!("{label}: logits differ by {difference}, {bound} allowed"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

fn vector(model: &RandomModel, context: usize) -> Vector {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/random");
    let path = folder.join(format!("{}.{context}.json", model.name));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn largest_difference(
    model: &RandomModel,
    file: &[u8],
    vector: &Vector,
    backend: &dyn Backend,
) -> Result<f32, EngineError> {
    let options = EngineOptions { context: Some(vector.context), ..EngineOptions::default() };
    let mut progress = |_, _| ControlFlow::Continue(());
    let mut engine = Engine::load(&file, backend, options, &mut progress).await?;
    let mut session = engine.create_session()?;
    let tokens = model.tokens();
    let mut largest = 0f32;
    for (position, reference) in vector.positions.iter().zip(&vector.logits) {
        let logits = engine.next_logits(&mut session, &tokens[..=*position]).await?;
        assert_eq!(logits.len(), reference.len(), "{}: another vocabulary", model.name);
        for (ours, theirs) in logits.iter().zip(reference) {
            let difference = (ours - theirs).abs();
            if difference.is_nan() {
                return Ok(difference);
            }
            largest = largest.max(difference);
        }
    }
    Ok(largest)
}

impl RandomModel {
    /// Whether every weight is a 32-bit float.
    fn is_exact(&self) -> bool {
        self.formats == [DataType::F32]
    }
}
