//! The few things of JavaScript that the rest of the crate needs.

use js_sys::{Function, JSON, Promise, WebAssembly};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::error::WebError;

#[wasm_bindgen]
extern "C" {
    /// Writes to the console's error stream.
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    pub(crate) fn console_error(message: &str);

    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// Milliseconds of a clock that never goes back.
pub(crate) fn now() -> f64 {
    performance_now()
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    (js_sys::Date::now() / 1000.0) as u64
}

/// An identifier nobody else has.
pub(crate) fn unique_id(prefix: &str) -> String {
    let random = (js_sys::Math::random() * 2_f64.powi(52)) as u64;
    format!("{prefix}-{:x}{random:013x}", js_sys::Date::now() as u64)
}

/// Bytes of wasm memory.
pub(crate) fn memory_bytes() -> f64 {
    let buffer = wasm_bindgen::memory().unchecked_into::<WebAssembly::Memory>().buffer();
    js_sys::Reflect::get(&buffer, &JsValue::from_str("byteLength")).ok().and_then(|bytes| bytes.as_f64()).unwrap_or(0.0)
}

/// A Rust value as the JavaScript value that its JSON would be.
pub(crate) fn to_js(value: &impl Serialize) -> Result<JsValue, WebError> {
    value
        .serialize(&serde_wasm_bindgen::Serializer::json_compatible())
        .map_err(|error| WebError::Internal { problem: error.to_string() })
}

/// A JavaScript value as a Rust value; `what` names it in the error.
pub(crate) fn from_js<T: DeserializeOwned>(what: &'static str, value: JsValue) -> Result<T, WebError> {
    serde_wasm_bindgen::from_value(value).map_err(|error| WebError::Argument { what, problem: error.to_string() })
}

/// A JavaScript value as JSON.
pub(crate) fn to_json(what: &'static str, value: &JsValue) -> Result<String, WebError> {
    let text = JSON::stringify(value).map_err(|error| WebError::Argument { what, problem: describe(&error) })?;
    text.as_string().ok_or_else(|| WebError::Argument { what, problem: "it has no JSON form".to_owned() })
}

/// What a thrown value says.
pub(crate) fn describe(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.to_string()),
        None => format!("{thrown:?}"),
    }
}

/// Calls `callback` with `argument` and waits for the promise it returns; anything falsy means stop.
pub(crate) async fn goes_on(callback: &Function, argument: &JsValue) -> Result<bool, WebError> {
    let failed = |error: JsValue| WebError::Callback { problem: describe(&error) };
    let promise = callback.call1(&JsValue::UNDEFINED, argument).map_err(failed)?;
    let answer = JsFuture::from(Promise::resolve(&promise)).await.map_err(failed)?;
    Ok(answer.is_truthy())
}
