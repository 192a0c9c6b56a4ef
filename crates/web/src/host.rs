//! What the engine asks of the worker that it runs in.

use serde::Serialize;
use wasm_bindgen::JsValue;
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::engine::Info;
use crate::error::WebError;
use crate::javascript::to_js;
use crate::source::Source;

#[wasm_bindgen]
extern "C" {
    /// The worker's side of a loaded model.
    #[derive(Debug)]
    pub type Host;

    #[wasm_bindgen(method)]
    fn progress(this: &Host, done: f64, total: f64);

    #[wasm_bindgen(method, catch, js_name = startThreads)]
    async fn start_threads(this: &Host) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = openModel)]
    async fn open_model(this: &Host) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, js_name = deviceChanged)]
    fn device_changed(this: &Host, change: JsValue);
}

/// What became of the device.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum Change<'a> {
    /// It is gone, and another is being looked for.
    Lost {
        /// The driver's words.
        reason: &'a str,
    },
    /// The model is loaded again.
    Restored {
        /// What it is now.
        info: Info<'a>,
    },
}

impl Host {
    /// So many weight bytes are in place, out of so many.
    pub(crate) fn tell_progress(&self, done: u64, total: u64) {
        self.progress(done as f64, total as f64);
    }

    /// Starts the threads that work on the CPU; gives how many there are, the caller included.
    pub(crate) async fn threads(&self) -> Result<usize, WebError> {
        let threads = self.start_threads().await.map_err(failed)?;
        // What is no number of threads becomes one thread.
        Ok(threads.as_f64().unwrap_or(1.0) as usize)
    }

    /// Opens the model's file once more.
    pub(crate) async fn model(&self) -> Result<Source, WebError> {
        let opened = self.open_model().await.map_err(failed)?;
        Source::try_from_js_value(opened).map_err(failed)
    }

    /// Tells the page of the device.
    pub(crate) fn tell(&self, change: &Change<'_>) {
        // A change that has no JavaScript form does not exist.
        if let Ok(change) = to_js(change) {
            self.device_changed(change);
        }
    }
}

fn failed(error: JsValue) -> WebError {
    WebError::Thrown { thrown: error }
}
