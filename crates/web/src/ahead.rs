//! Beginning to load while the file is still on its way, so that in the end only its weights are waited for.

use js_sys::Promise;
use nearside_engine::backend::Backend;
use nearside_gpu::GpuBackend;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use crate::device::Device;
use crate::engine::LoadOptions;
use crate::error::WebError;
use crate::host::Host;
use crate::javascript::from_js;
use crate::source::Source;

/// What the beginning of a file tells about its model.
#[wasm_bindgen]
pub struct Outline {
    outline: nearside_engine::Outline,
    options: LoadOptions,
}

/// A load that has begun on the GPU. Freeing it gives up what it holds.
#[wasm_bindgen]
pub struct Begun {
    pub(crate) device: Device,
    pub(crate) gpu: GpuBackend,
    pub(crate) load: nearside_engine::Begun,
}

#[wasm_bindgen]
impl Outline {
    /// Reads the beginning of a file; nothing as long as not all of that is here.
    pub fn read(source: &Source, options: JsValue) -> Result<Option<Outline>, JsValue> {
        let options: LoadOptions = from_js("options", options)?;
        let outline = nearside_engine::Outline::read(source, options.engine()).ok();
        Ok(outline.map(|outline| Self { outline, options }))
    }

    /// Opens the GPU and has it prepare itself; nothing where the CPU will run the model.
    pub async fn begin(self, host: Host) -> Result<Option<Begun>, JsValue> {
        let Self { outline, options } = self;
        let mut device = Device::new(options.backend, &options.gpu_without, host);
        let Some(gpu) = device.first_gpu().await.map_err(WebError::from)? else { return Ok(None) };
        let load = outline.begin(&gpu as &dyn Backend).await.map_err(WebError::from)?;
        Ok(load.map(|load| Begun { device, gpu, load }))
    }
}

#[wasm_bindgen]
impl Begun {
    /// Resolves once everything that was asked for is compiled.
    pub fn compiled(&self) -> Promise {
        let idle = self.gpu.idle();
        future_to_promise(async move {
            idle.await.map_err(WebError::from)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Does what else needs no weights.
    pub async fn rehearse(self) -> Result<Begun, JsValue> {
        let load = self.load.rehearse().await.map_err(WebError::from)?;
        Ok(Self { load, ..self })
    }
}
