//! Which backend runs the model.

use nearside_cpu::CpuBackend;
use nearside_engine::backend::{Backend, BackendError};
use nearside_gpu::{GpuBackend, GpuOptions};
use serde::Deserialize;

use crate::error::WebError;

/// What the caller asks for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// A real GPU where there is one, the CPU otherwise.
    Auto,
    /// The GPU, even one made of software, or an error.
    Gpu,
    /// The CPU.
    Cpu,
}

/// The backend to load on, and why it is this one.
pub(crate) async fn choose(choice: Choice) -> Result<(Box<dyn Backend>, String), WebError> {
    let probed = match choice {
        Choice::Cpu => return Ok((Box::new(CpuBackend::new()), "the CPU was asked for".to_owned())),
        Choice::Auto | Choice::Gpu => GpuBackend::probe(GpuOptions::default()).await,
    };
    match (choice, probed) {
        (Choice::Gpu, Ok(gpu)) => Ok((Box::new(gpu), "the GPU was asked for".to_owned())),
        (Choice::Gpu, Err(error)) => Err(error.into()),
        (_, Ok(gpu)) if gpu.facts().software => {
            let why = format!("the only GPU adapter, {}, is software, and the CPU is faster", gpu.facts().name);
            Ok((Box::new(CpuBackend::new()), why))
        }
        (_, Ok(gpu)) => {
            let why = format!("there is a GPU: {}", gpu.facts().name);
            Ok((Box::new(gpu), why))
        }
        (_, Err(error)) => Ok((Box::new(CpuBackend::new()), no_gpu(&error))),
    }
}

fn no_gpu(error: &BackendError) -> String {
    match error {
        BackendError::NoAdapter { reason } => format!("there is no usable GPU: {reason}"),
        other => format!("the GPU cannot be used: {other}"),
    }
}
