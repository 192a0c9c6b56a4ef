//! Which backend runs the model.

use nearside_cpu::CpuBackend;
use nearside_engine::backend::{Backend, BackendDescription, BackendKind};
use nearside_gpu::{Fault, GpuBackend, GpuOptions};
use serde::Serialize;

use crate::arguments::{BackendName, CommonArguments};
use crate::failure::Failure;

/// A backend and why it is this one.
pub(crate) struct Choice {
    /// Ready to load models.
    pub(crate) backend: Box<dyn Backend>,
    /// Said where nobody asked for this one by name.
    pub(crate) reason: Option<String>,
}

/// The GPU, whatever it is.
pub(crate) async fn probe(common: CommonArguments) -> Result<GpuBackend, Failure> {
    Ok(GpuBackend::probe(options(common)).await?)
}

fn options(common: CommonArguments) -> GpuOptions {
    GpuOptions { fault: common.gpu_fault, tile: common.gpu_tile, ..GpuOptions::default() }
}

/// The one that was asked for, or the best there is: a real GPU, else the CPU. A software adapter
/// is only the CPU by a longer way.
pub(crate) async fn choose(common: CommonArguments) -> Result<Choice, Failure> {
    let CommonArguments { backend: wanted, threads, .. } = common;
    let cpu = || Box::new(threads.map_or_else(CpuBackend::new, CpuBackend::with_threads));
    match wanted {
        Some(BackendName::Cpu) => Ok(Choice { backend: cpu(), reason: None }),
        Some(BackendName::Gpu) => {
            let gpu = GpuBackend::probe(options(common)).await?;
            Ok(Choice { backend: Box::new(gpu), reason: None })
        }
        None => {
            // A software adapter that a test breaks stands for a real one.
            let allow_software = common.gpu_fault == Some(Fault::WrongNumbers);
            Ok(match GpuBackend::probe(GpuOptions { allow_software, ..options(common) }).await {
                Ok(gpu) => {
                    let reason = Some(format!("{} is a real GPU", gpu.facts().name));
                    Choice { backend: Box::new(gpu), reason }
                }
                Err(error) => Choice { backend: cpu(), reason: Some(error.to_string()) },
            })
        }
    }
}

impl Choice {
    /// Says which one it is and why, where that was not the user's own choice.
    pub(crate) fn announce(&self) {
        if let Some(reason) = &self.reason {
            eprintln!("backend: {} ({reason})", kind_name(self.backend.describe().kind));
        }
    }
}

/// `gpu` or `cpu`.
pub(crate) fn kind_name(kind: BackendKind) -> &'static str {
    match kind {
        BackendKind::Gpu => "gpu",
        BackendKind::Cpu => "cpu",
    }
}

/// A backend in a report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BackendReport {
    kind: &'static str,
    device: String,
    features: Vec<String>,
}

impl std::fmt::Display for BackendReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}, {}", self.kind, self.device)?;
        if self.features.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.features.join(", ")) }
    }
}

impl From<&BackendDescription> for BackendReport {
    fn from(description: &BackendDescription) -> Self {
        Self {
            kind: kind_name(description.kind),
            device: description.device.clone(),
            features: description.features.clone(),
        }
    }
}
