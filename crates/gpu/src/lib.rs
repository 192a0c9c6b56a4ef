//! The wgpu backend: one WGSL file per kernel, each beside the plain Rust function it must equal.
//!
//! The same code runs natively (Vulkan, Metal, Direct3D 12) and on the web (WebGPU). A graph is compiled
//! once: weights are repacked for coalesced reads while they are uploaded, and every pipeline, buffer
//! and bind group exists before the first step. A step then is one write of a few bytes, one command
//! buffer, one compute pass and one submit; a sampled token stays on the device for the next step, and
//! what comes back is the token and its few best rivals.
//!
//! For one token a layer is at most eight dispatches: a norm, the products for all heads, attention in slices
//! of the positions, what puts those together, the product after it, a norm, both gated products with their
//! activation, and the last product. The kernel that attends norms and rotates the heads itself and fills the
//! cache. For several tokens more operations stay apart; products of more than sixteen go in tiles, of fewer as
//! for one token with some tokens at a time.
//!
//! Inputs of products with quantized weights are rounded to eight bits, with a scale for as many of them as the
//! format has weights in a block, 32 or 256: the reference engine multiplies them so, and perplexity strays by more
//! than one per cent without it. Slots hold exact values, and each product rounds what it reads as its own format
//! wants: in workgroup memory where few tokens are multiplied, and in a dispatch that packs the inputs for all
//! products in tiles that read them.
//!
//! Nothing here needs `shader-f16`, subgroups or any limit above WebGPU's defaults. Sums are taken in
//! 32 bits; halves are unpacked with WGSL's own functions. Subgroups, where the adapter has them and
//! [`GpuOptions`] allows, shorten what a whole workgroup adds up or compares. With `shader-f16` decoded weights may
//! wait as halves in workgroup memory; sums are taken in 32 bits all the same. Where WGSL has dot products of packed
//! 8-bit integers, products of one token and of many can be computed so: weights are unpacked to bytes instead of
//! floats, and scales are multiplied once for 32 elements or 16. Which tile the products of a prompt are computed in,
//! and whether those of few tokens are of packed integers, is measured when the adapter is opened, and the backend's
//! features name it; how many tokens a step takes follows from the rate: no dispatch should keep a page's screen
//! waiting.
//!
//! An adapter is trusted after it has done a small computation rightly: [`GpuBackend::probe`] fails with
//! the reason otherwise, and the caller takes the CPU. A device that goes away is an error at the next
//! call, [`BackendError::DeviceLost`](nearside_engine::backend::BackendError::DeviceLost); a new probe finds
//! a new device. What was loaded frees its buffers when it is dropped, however it came to that.
//!
//! What a step can do beyond one token costs a step that does not use it nothing: adapters that are in use
//! are planned into the operations when their set changes, held logits and choices for several rows are
//! operations of their own.
//!
//! Tests run on the two software adapters that need no GPU, where they are found: Mesa's lavapipe and,
//! with `VK_ADD_DRIVER_FILES=/usr/lib/chromium/vk_swiftshader_icd.json`, Chromium's `SwiftShader`; each
//! with all that it has and with the least that WebGPU promises. They judge correctness, not speed.
//!
//! ```no_run
//! use nearside_engine::backend::Backend;
//! use nearside_gpu::{GpuBackend, GpuOptions};
//!
//! # async fn example() -> Result<(), nearside_engine::backend::BackendError> {
//! let backend = GpuBackend::probe(GpuOptions::default()).await?;
//! println!("{}, software: {}", backend.describe().device, backend.facts().software);
//! # Ok(())
//! # }
//! ```

mod adapter;
mod allocation;
mod arbitrary;
mod binding;
mod bound;
mod cache;
mod clock;
mod encoding;
mod executor;
mod failure;
#[cfg(test)]
mod graph_tests;
mod header;
mod kernels;
mod load;
mod low_rank;
mod pipelines;
mod plan;
#[cfg_attr(target_arch = "wasm32", path = "platform/web.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "platform/native.rs")]
mod platform;
mod profile;
mod quants;
mod readback;
mod reads;
mod room;
mod self_check;
mod small_model;
mod stopwatch;
mod template;
#[cfg(test)]
mod testing;
mod tune;
mod warm_up;
mod weights;

#[doc(hidden)]
pub use adapter::Fault;
pub use adapter::{AdapterFacts, GpuBackend, GpuOptions, PowerPreference};
#[doc(hidden)]
pub use kernels::tiles::Tile;
pub use profile::{CopyTime, KernelTime, KernelTimes, StepTimes};
