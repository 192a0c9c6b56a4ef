//! The wgpu backend: one WGSL file per kernel, each beside the plain Rust function it must equal.
