//! Low-rank adapters of a loaded model, by the numbers that the package gives them.

use std::ops::ControlFlow;
use std::rc::Rc;

use nearside_engine::EngineError;
use nearside_engine::backend::Backend;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::engine::Engine;
use crate::error::WebError;
use crate::host::Host;
use crate::javascript::from_js;
use crate::source::Source;

#[wasm_bindgen]
impl Engine {
    /// Takes an adapter, which changes nothing until it is used; gives its number.
    #[wasm_bindgen(js_name = addAdapter)]
    pub async fn add_adapter(&mut self, source: Source) -> Result<u32, JsValue> {
        let source = Rc::new(source);
        let adapter = self.insist(|loaded| loaded.add_adapter(Rc::clone(&source) as _)).await?;
        let number = self.adapters.last_key_value().map_or(0, |(number, _)| number + 1);
        self.adapters.insert(number, adapter);
        Ok(number)
    }

    /// From now on these change the model, each by its factor, and no others: pairs of number and factor.
    #[wasm_bindgen(js_name = useAdapters)]
    pub async fn use_adapters(&mut self, adapters: JsValue) -> Result<(), JsValue> {
        let mut active = Vec::new();
        for (number, factor) in from_js::<Vec<(u32, f32)>>("adapters", adapters)? {
            let problem = || "it was removed, or is another model's; load it again".to_owned();
            let adapter = self.adapters.get(&number).copied();
            active.push((adapter.ok_or_else(|| WebError::Argument { what: "adapter", problem: problem() })?, factor));
        }
        Ok(self.insist(|loaded| loaded.use_adapters(&active)).await?)
    }

    /// Gives an adapter's room back. One in use is no longer; one that is not there is removed already.
    #[wasm_bindgen(js_name = removeAdapter)]
    pub async fn remove_adapter(&mut self, number: u32) -> Result<(), JsValue> {
        if let Some(adapter) = self.adapters.get(&number).copied() {
            self.insist(|loaded| loaded.remove_adapter(adapter)).await?;
            self.adapters.remove(&number);
        }
        Ok(())
    }
}

impl Engine {
    /// Does something to the model, on a device that takes the place of the one that was lost, if need be.
    async fn insist<T>(
        &mut self,
        mut work: impl FnMut(&mut nearside_engine::Engine) -> Result<T, EngineError>,
    ) -> Result<T, WebError> {
        let Self { loaded, device, .. } = self;
        loop {
            let error = match work(loaded) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let recover = async |source: &Source, backend: &dyn Backend, host: &Host| {
                let mut report = |done, total| {
                    host.tell_progress(done, total);
                    ControlFlow::Continue(())
                };
                loaded.recover(source, backend, &mut report).await
            };
            device.revive(error, recover).await?;
            device.tell_restored(loaded.info());
        }
    }
}
