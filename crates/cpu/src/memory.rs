//! Allocation that can fail without ending the process.

use nearside_engine::backend::BackendError;

/// `count` times `value`.
pub(crate) fn zeroed<T: Clone>(
    count: usize,
    value: T,
    purpose: impl FnOnce() -> String,
) -> Result<Vec<T>, BackendError> {
    let mut items = Vec::new();
    grow(&mut items, count, value, purpose)?;
    Ok(items)
}

/// Lengthens `items` to `count`, filling with `value`.
pub(crate) fn grow<T: Clone>(
    items: &mut Vec<T>,
    count: usize,
    value: T,
    purpose: impl FnOnce() -> String,
) -> Result<(), BackendError> {
    let more = count.saturating_sub(items.len());
    if more == 0 {
        return Ok(());
    }
    if items.try_reserve_exact(more).is_err() {
        return Err(out_of_memory((count as u64).saturating_mul(size_of::<T>() as u64), purpose()));
    }
    items.resize(count, value);
    Ok(())
}

pub(crate) fn out_of_memory(bytes: u64, purpose: String) -> BackendError {
    BackendError::OutOfMemory { bytes, purpose }
}
