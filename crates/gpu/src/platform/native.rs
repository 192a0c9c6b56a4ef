//! What opening an adapter means outside the browser.

use nearside_engine::backend::BackendError;

use crate::adapter::{GpuOptions, no_adapter, request_adapter};

/// Kernels with subgroups need not say so.
pub(crate) const ENABLE_SUBGROUPS: &str = "";

#[expect(clippy::unnecessary_wraps, reason = "only a browser can lack the whole interface")]
pub(crate) fn check_environment() -> Result<(), BackendError> {
    Ok(())
}

pub(crate) async fn choose_adapter(
    instance: &wgpu::Instance,
    options: &GpuOptions,
) -> Result<wgpu::Adapter, BackendError> {
    let Some(wanted) = &options.adapter else {
        return request_adapter(instance, options).await;
    };
    let adapters = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
    let names: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
    let found = names.iter().position(|name| name.to_lowercase().contains(&wanted.to_lowercase()));
    found
        .and_then(|index| adapters.into_iter().nth(index))
        .ok_or_else(|| no_adapter(format!("no adapter is called `{wanted}`; there are: {}", names.join(", "))))
}

/// Features are all in the descriptor.
pub(crate) fn request_device(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
    _subgroups: bool,
) -> impl Future<Output = Result<(wgpu::Device, wgpu::Queue), wgpu::RequestDeviceError>> {
    adapter.request_device(descriptor)
}

pub(crate) fn has_subgroups(device: &wgpu::Device) -> bool {
    device.features().contains(wgpu::Features::SUBGROUP)
}

/// Whether kernels may multiply packed 8-bit integers; for a driver without them they are taken apart.
pub(crate) fn has_packed_dots(instance: &wgpu::Instance) -> bool {
    instance.wgsl_language_features().contains(wgpu::WgslLanguageFeatures::Packed4x8IntegerDotProduct)
}

/// Its name and its vendor.
pub(crate) fn identity(info: &wgpu::AdapterInfo, _: &wgpu::Device) -> (String, String) {
    (info.name.clone(), format!("{:04x}", info.vendor))
}
