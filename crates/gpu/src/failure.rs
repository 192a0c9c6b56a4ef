//! What went wrong on the device behind the caller's back.

use std::sync::{Arc, Mutex, PoisonError};

use nearside_engine::backend::BackendError;

/// The first failure that the device reported outside any call; later ones follow from it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<BackendError>>>);

impl Failure {
    /// Listens to everything that the device has to say.
    pub(crate) fn watch(device: &wgpu::Device) -> Self {
        let failure = Self::default();
        let errors = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error| errors.set(from_wgpu(&error, 0, "a step"))));
        let lost = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            let reason = if message.is_empty() { format!("{reason:?}") } else { message };
            lost.set(BackendError::DeviceLost { reason });
        });
        failure
    }

    /// Remembers a failure unless there was one before.
    pub(crate) fn set(&self, error: BackendError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Fails if the device has.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

/// The backend's words for an error of the device.
pub(crate) fn from_wgpu(error: &wgpu::Error, bytes: u64, purpose: &str) -> BackendError {
    match error {
        wgpu::Error::OutOfMemory { .. } => BackendError::OutOfMemory { bytes, purpose: purpose.to_owned() },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            BackendError::DeviceLost { reason: format!("it refused {purpose}: {description}") }
        }
    }
}
