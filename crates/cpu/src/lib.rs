//! The CPU backend, on candle-core's quantized blocks.
//!
//! Weights stay in the format of their file and are read straight into it. Activations are f32 between
//! operations and, for quantized weights, 8-bit integers inside a product; sums are taken in f32. Keys
//! and values are kept in f32 and take memory only as a conversation grows.
//!
//! ```
//! use nearside_cpu::CpuBackend;
//! use nearside_engine::backend::{Backend, BackendKind};
//!
//! let backend = CpuBackend::new();
//! assert_eq!(backend.describe().kind, BackendKind::Cpu);
//! ```

mod backend;
mod cache;
mod executor;
mod formats;
mod matrix;
mod memory;
mod ops;
pub mod pool;
mod simd;

pub use backend::CpuBackend;
