//! Buffers that are checked when they are made and freed when their owner goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::BackendError;
use wgpu::{Buffer, BufferUsages};

use crate::adapter::Gpu;
use crate::failure::from_wgpu;

/// Offsets of bindings are multiples of this on every adapter.
pub(crate) const ALIGNMENT: u64 = 256;

/// What a kernel reads or writes.
pub(crate) const STORAGE: BufferUsages = BufferUsages::STORAGE.union(BufferUsages::COPY_DST);

/// Bytes that are allocated on a device.
pub(crate) type Allocated = Arc<AtomicU64>;

/// Buffers of one owner. Dropping a buffer in a browser leaves it to the garbage collector, which does
/// not know how large it is, so the owner destroys them.
#[derive(Debug)]
pub(crate) struct Allocations {
    buffers: Vec<Buffer>,
    allocated: Allocated,
}

/// Resolves to an error if the device refused.
pub(crate) type Verdict = LocalBoxFuture<'static, Result<(), BackendError>>;

impl Allocations {
    /// None yet.
    pub(crate) fn new(gpu: &Gpu) -> Self {
        Self { buffers: Vec::new(), allocated: Arc::clone(&gpu.allocated) }
    }

    /// A new buffer, and the verdict on it, which a browser gives only later.
    pub(crate) fn start(&mut self, gpu: &Gpu, size: u64, usage: BufferUsages, purpose: &str) -> (Buffer, Verdict) {
        let size = size.max(16).next_multiple_of(16);
        let purpose = purpose.to_owned();
        if size > gpu.facts.max_buffer_size {
            let buffer = self.create(gpu, 16, usage);
            return (buffer, async move { Err(BackendError::OutOfMemory { bytes: size, purpose }) }.boxed_local());
        }
        let memory = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let buffer = self.create(gpu, size, usage);
        let errors = [validation.pop().boxed_local(), memory.pop().boxed_local()];
        let verdict = async move {
            for error in errors {
                if let Some(error) = error.await {
                    return Err(from_wgpu(&error, size, &purpose));
                }
            }
            Ok(())
        };
        (buffer, verdict.boxed_local())
    }

    /// A new buffer that is surely there.
    pub(crate) async fn buffer(
        &mut self,
        gpu: &Gpu,
        size: u64,
        usage: BufferUsages,
        purpose: &str,
    ) -> Result<Buffer, BackendError> {
        let (buffer, verdict) = self.start(gpu, size, usage, purpose);
        verdict.await.map(|()| buffer)
    }

    /// How many buffers there are.
    pub(crate) fn count(&self) -> usize {
        self.buffers.len()
    }

    fn create(&mut self, gpu: &Gpu, size: u64, usage: BufferUsages) -> Buffer {
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = gpu.device.create_buffer(&descriptor);
        self.allocated.fetch_add(size, Ordering::Relaxed);
        self.buffers.push(buffer.clone());
        buffer
    }
}

impl Drop for Allocations {
    fn drop(&mut self) {
        for buffer in &self.buffers {
            self.allocated.fetch_sub(buffer.size(), Ordering::Relaxed);
            buffer.destroy();
        }
    }
}

/// Takes the verdicts that are already there, and keeps those that come later.
pub(crate) fn settle(verdicts: Vec<Verdict>, later: &mut Vec<Verdict>) -> Result<(), BackendError> {
    for mut verdict in verdicts {
        match (&mut verdict).now_or_never() {
            Some(result) => result?,
            None => later.push(verdict),
        }
    }
    Ok(())
}
