//! The CPU backend.
//!
//! Weights are laid out while they are read, in panels of sixteen rows whose levels lie in the lanes of
//! vectors; a few layouts serve all formats, and close to the size that the file stores. Activations are f32
//! between operations and, for quantized weights, 8-bit integers inside a product, with a scale for every 32 or,
//! where the file has small scales inside larger ones, for every 256, as llama.cpp has it;
//! sums over these are taken in f32. Every instruction set gives the same bits, and so does every number of
//! threads and of tokens that are read together. Keys and values are kept in half floats or bytes, in pages that are added as a conversation grows
//! and that its forks share.
//!
//! ```
//! use nearside_cpu::CpuBackend;
//! use nearside_engine::backend::{Backend, BackendKind};
//!
//! let backend = CpuBackend::new();
//! assert_eq!(backend.describe().kind, BackendKind::Cpu);
//! ```

mod adapters;
mod attention;
mod backend;
pub mod benchmark;
mod cache;
mod executor;
mod formats;
mod lookup;
mod matrix;
mod memory;
mod ops;
pub mod pool;
mod simd;

pub use backend::CpuBackend;
