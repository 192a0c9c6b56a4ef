//! Which backend runs the model, and which one takes over when its device goes away.

use nearside_cpu::CpuBackend;
use nearside_engine::backend::{Backend, BackendError, BackendKind};
use nearside_engine::{EngineError, ModelInfo};
use nearside_gpu::{GpuBackend, GpuOptions};
use serde::Deserialize;

use crate::engine::Info;
use crate::error::WebError;
use crate::host::{Change, Host};
use crate::source::Source;

/// A GPU that goes away this often is not asked again.
const PATIENCE: u32 = 3;

/// What the caller asks for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// A real GPU where there is one, the CPU otherwise.
    Auto,
    /// The GPU, even one made of software, or an error. Once loaded, the CPU is better than no answer.
    Gpu,
    /// The CPU.
    Cpu,
}

/// A feature of the GPU that it can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Feature {
    #[serde(rename = "shader-f16")]
    F16,
    #[serde(rename = "subgroups")]
    Subgroups,
}

/// The device of one model, through all that happens to it.
#[derive(Debug)]
pub(crate) struct Device {
    asked: Choice,
    options: GpuOptions,
    host: Host,
    losses: u32,
    why: String,
}

impl Device {
    /// The GPU is used without these features.
    pub(crate) fn new(asked: Choice, without: &[Feature], host: Host) -> Self {
        let options = GpuOptions {
            allow_f16: !without.contains(&Feature::F16),
            allow_subgroups: !without.contains(&Feature::Subgroups),
            // Software is only the CPU by a longer way.
            allow_software: matches!(asked, Choice::Gpu),
            ..GpuOptions::default()
        };
        Self { asked, options, host, losses: 0, why: String::new() }
    }

    /// Why the backend is the one it is.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The backend to load on.
    pub(crate) async fn first(&mut self) -> Result<Box<dyn Backend>, WebError> {
        match self.first_gpu().await {
            Ok(Some(gpu)) => Ok(Box::new(gpu)),
            Ok(None) => self.cpu().await,
            Err(BackendError::DeviceLost { reason }) => self.next(&reason).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The GPU to load on, unless that is the CPU's part.
    pub(crate) async fn first_gpu(&mut self) -> Result<Option<GpuBackend>, BackendError> {
        let probe = async || GpuBackend::probe(self.options.clone()).await;
        let (gpu, why) = match self.asked {
            Choice::Cpu => (None, "the CPU was asked for".to_owned()),
            Choice::Gpu => (Some(probe().await?), "the GPU was asked for".to_owned()),
            Choice::Auto => match probe().await {
                Ok(gpu) => {
                    let why = format!("there is a GPU: {}", gpu.facts().name);
                    (Some(gpu), why)
                }
                Err(lost @ BackendError::DeviceLost { .. }) => return Err(lost),
                Err(error) => (None, no_gpu(&error)),
            },
        };
        self.why = why;
        Ok(gpu)
    }

    /// The backend to go on with after a loss: the GPU if it comes back, else the CPU.
    pub(crate) async fn next(&mut self, lost: &str) -> Result<Box<dyn Backend>, WebError> {
        self.losses += 1;
        self.host.tell(&Change::Lost { reason: lost });
        if self.losses >= PATIENCE {
            self.why = format!("the GPU was lost {} times (lately: {lost})", self.losses);
            return self.cpu().await;
        }
        match GpuBackend::probe(self.options.clone()).await {
            Ok(gpu) => {
                self.why = format!("the GPU was lost ({lost}) and came back: {}", gpu.facts().name);
                Ok(Box::new(gpu))
            }
            Err(error) => {
                self.why = format!("the GPU was lost ({lost}) and did not come back: {}", no_gpu(&error));
                self.cpu().await
            }
        }
    }

    /// Loads again with `recover` after the loss of a device, in the end on the CPU. Any other error is given back.
    pub(crate) async fn revive(
        &mut self,
        error: EngineError,
        mut recover: impl AsyncFnMut(&Source, &dyn Backend, &Host) -> Result<(), EngineError>,
    ) -> Result<(), WebError> {
        let Some(lost) = loss(&error) else { return Err(error.into()) };
        let mut lost = lost.to_owned();
        loop {
            let backend = self.next(&lost).await?;
            let on_gpu = backend.describe().kind == BackendKind::Gpu;
            let source = self.host.model().await?;
            match recover(&source, backend.as_ref(), &self.host).await {
                // What fails on the GPU that came back, such as room for it all, may succeed elsewhere.
                Err(error) if on_gpu => lost = error.to_string(),
                result => return Ok(result?),
            }
        }
    }

    /// Tells the page what runs the model since it was loaded again.
    pub(crate) fn tell_restored(&self, info: &ModelInfo) {
        self.host.tell(&Change::Restored { info: Info::of(info, self) });
    }

    async fn cpu(&self) -> Result<Box<dyn Backend>, WebError> {
        Ok(Box::new(CpuBackend::with_threads(self.host.threads().await?)))
    }
}

/// The driver's words, if the error is that the device is gone.
pub(crate) fn loss(error: &EngineError) -> Option<&str> {
    match error {
        EngineError::Backend(BackendError::DeviceLost { reason }) => Some(reason),
        _ => None,
    }
}

fn no_gpu(error: &BackendError) -> String {
    match error {
        BackendError::NoAdapter { reason } => format!("there is no usable GPU: {reason}"),
        other => format!("the GPU cannot be used: {other}"),
    }
}
