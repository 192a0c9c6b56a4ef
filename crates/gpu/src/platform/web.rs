//! What opening an adapter means in a browser.

use js_sys::{Array, Function, Object, Proxy, Reflect};
use nearside_engine::backend::BackendError;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};

use crate::adapter::{GpuOptions, no_adapter, request_adapter};

/// What browsers want to read before a kernel with subgroups.
pub(crate) const ENABLE_SUBGROUPS: &str = "enable subgroups;\n";

const SUBGROUPS: &str = "subgroups";

/// The feature of the language without which a kernel does not learn which subgroup it is in.
const SUBGROUP_ID: &str = "subgroup_id";

/// The feature of the language that has products of packed 8-bit integers.
const PACKED_DOTS: &str = "packed_4x8_integer_dot_product";

/// wgpu panics where there is neither a window nor a worker, so this looks first.
pub(crate) fn check_environment() -> Result<(), BackendError> {
    let global = js_sys::global();
    if get(&global, "Window").is_undefined() && get(&global, "WorkerGlobalScope").is_undefined() {
        return Err(no_adapter("this is neither a page nor a worker"));
    }
    let navigator = get(&global, "navigator");
    if !navigator.is_object() {
        return Err(no_adapter("this is neither a page nor a worker"));
    }
    let gpu = get(&navigator, "gpu");
    if gpu.is_undefined() || gpu.is_null() {
        return Err(no_adapter("this browser has no WebGPU, or the page is not served securely"));
    }
    Ok(())
}

/// A page does not see the adapters by name.
pub(crate) async fn choose_adapter(
    instance: &wgpu::Instance,
    options: &GpuOptions,
) -> Result<wgpu::Adapter, BackendError> {
    request_adapter(instance, options).await
}

/// Asks for a device, with subgroups if they are wanted and there: wgpu has no name for them on the web.
pub(crate) fn request_device(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
    subgroups: bool,
) -> impl Future<Output = Result<(wgpu::Device, wgpu::Queue), wgpu::RequestDeviceError>> {
    let _extension = if subgroups { Extension::new() } else { None };
    // The browser is asked before this returns; only its answer takes time.
    adapter.request_device(descriptor)
}

/// Whether the device has subgroups and kernels can tell them apart.
pub(crate) fn has_subgroups(device: &wgpu::Device) -> bool {
    device.as_webgpu().is_some_and(|device| has(&get(device, "features"), SUBGROUPS)) && tells_subgroups_apart()
}

fn tells_subgroups_apart() -> bool {
    has_language_feature(SUBGROUP_ID)
}

/// Whether kernels may multiply packed 8-bit integers.
pub(crate) fn has_packed_dots(_: &wgpu::Instance) -> bool {
    has_language_feature(PACKED_DOTS)
}

/// Older browsers have no such set, where wgpu would panic.
fn has_language_feature(name: &str) -> bool {
    let gpu = get(&get(&js_sys::global(), "navigator"), "gpu");
    has(&get(&gpu, "wgslLanguageFeatures"), name)
}

/// Its name and its vendor. Browsers mostly leave the description empty, and wgpu passes on nothing else.
pub(crate) fn identity(info: &wgpu::AdapterInfo, device: &wgpu::Device) -> (String, String) {
    let facts = device.as_webgpu().map_or(JsValue::UNDEFINED, |device| get(device, "adapterInfo"));
    let text = |name: &str| get(&facts, name).as_string().unwrap_or_default();
    let (vendor, architecture) = (text("vendor"), text("architecture"));
    let parts = [vendor.as_str(), architecture.as_str(), info.name.as_str()];
    let name = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    (if name.is_empty() { "WebGPU adapter".to_owned() } else { name }, vendor)
}

/// While it lives, whoever asks an adapter for a device asks for its subgroups too.
struct Extension {
    prototype: JsValue,
    own: Function,
    // The handler calls it.
    _apply: Closure<dyn FnMut(Function, JsValue, Array) -> Result<JsValue, JsValue>>,
}

impl Extension {
    const METHOD: &str = "requestDevice";

    /// None where kernels could not use subgroups, or the browser does not let its method be replaced.
    fn new() -> Option<Self> {
        if !tells_subgroups_apart() {
            return None;
        }
        let prototype = get(&get(&js_sys::global(), "GPUAdapter"), "prototype");
        let own: Function = get(&prototype, Self::METHOD).dyn_into().ok()?;
        let apply = Closure::new(|own: Function, adapter: JsValue, arguments: Array| {
            let features = get(&arguments.get(0), "requiredFeatures").dyn_into::<Array>();
            if let Ok(features) = features
                && has(&get(&adapter, "features"), SUBGROUPS)
            {
                features.push(&SUBGROUPS.into());
            }
            Reflect::apply(&own, &adapter, &arguments)
        });
        let handler = Object::new();
        Reflect::set(&handler, &"apply".into(), apply.as_ref()).ok()?;
        let extended = Proxy::new(&own, &handler);
        Reflect::set(&prototype, &Self::METHOD.into(), &extended).ok()?;
        Some(Self { prototype, own, _apply: apply })
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        // What could be replaced once can be again.
        let _ = Reflect::set(&self.prototype, &Self::METHOD.into(), &self.own);
    }
}

/// A property; undefined where there is none.
fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Whether a set of the browser's has that element.
fn has(set: &JsValue, element: &str) -> bool {
    let answer = get(set, "has").dyn_into::<Function>().and_then(|has| has.call1(set, &element.into()));
    answer.is_ok_and(|answer| answer.is_truthy())
}
