//! The wasm-bindgen face of the engine and the router: what the dedicated worker of the npm package `nearside`
//! calls, and nothing that a page would call by itself.
//!
//! ```js
//! const engine = await Engine.load(Source.fromHandle(handle), { backend: 'auto', context: null }, onProgress);
//! const outcome = await engine.chat(request, { policy, situation }, 'my-model', async (chunk) => {
//!   if (chunk) show(chunk);
//!   return !aborted;
//! });
//! if (outcome.side === 'far') {
//!   const crossing = new Crossing(request, 'frontier', policy.redact);
//!   // ask for consent, send crossing.body(), give the answer's bytes to crossing.push()
//! }
//! ```
//!
//! Everything long gives the event loop a turn between tokens and batches, by waiting for the promise that its
//! callback returns, so that a cancellation can arrive. Errors are JavaScript `Error`s with a `code`.
//!
//! The model file is read through a `Source` piece by piece: wasm memory never holds the file.

mod answer;
mod choice;
mod crossing;
mod engine;
mod error;
mod hash;
mod inspect;
mod javascript;
mod routing;
mod source;
mod stream;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Runs when the module starts: a panic then leaves its message in the console before it ends the worker.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| javascript::console_error(&panic.to_string())));
}

/// Bytes of wasm memory. It never shrinks, so this is also the most there has been.
#[wasm_bindgen(js_name = memoryBytes)]
pub fn memory_bytes() -> f64 {
    javascript::memory_bytes()
}

/// What a model file says about itself, without loading it.
#[wasm_bindgen]
pub fn inspect(source: &source::Source) -> Result<JsValue, JsValue> {
    Ok(javascript::to_js(&inspect::read(source)?)?)
}
