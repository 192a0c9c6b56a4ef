//! The wasm-bindgen face of the engine and the router.
