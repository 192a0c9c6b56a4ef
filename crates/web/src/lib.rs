//! The wasm-bindgen face of the engine and the router: what the dedicated worker of the npm package `nearside`
//! calls, and nothing that a page would call by itself.
//!
//! ```js
//! const options = { backend: 'auto', context: null };
//! const engine = await Engine.load(Source.fromHandle(handle), options, host);
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
//! `host` is what the engine asks of the worker: to start threads when the CPU is taken, to open the model's file again
//! when a GPU was lost, and to pass on what becomes of all that.
//!
//! A load can begin while its file is on the way: as soon as `Outline.read(Source.fromArriving(handle, length), options)`
//! gives something, its `begin(host)` opens the GPU and has it compile, and `Engine.load` goes on with what that gave.
//!
//! The model file is read through a `Source` piece by piece: wasm memory never holds the file.

mod adapters;
mod ahead;
mod answer;
mod crossing;
mod device;
mod embedding;
mod engine;
mod error;
mod hash;
mod host;
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

/// The compiled module, for workers that are to run it too.
#[wasm_bindgen(js_name = sharedModule)]
pub fn shared_module() -> JsValue {
    wasm_bindgen::module()
}

/// The module's memory, for workers that are to share it.
#[wasm_bindgen(js_name = sharedMemory)]
pub fn shared_memory() -> JsValue {
    wasm_bindgen::memory()
}

/// Makes the calling worker one of the threads that share the engine's work, number `index` from 0 on. Never returns.
/// The worker must run this very module in the memory of the worker that runs the engine.
#[wasm_bindgen(js_name = enterPool)]
pub fn enter_pool(index: usize) {
    nearside_cpu::pool::serve(index);
}

/// What a model file says about itself, without loading it.
#[wasm_bindgen]
pub fn inspect(source: &source::Source) -> Result<JsValue, JsValue> {
    Ok(javascript::to_js(&inspect::read(source)?)?)
}
