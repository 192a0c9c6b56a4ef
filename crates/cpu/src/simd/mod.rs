//! The inner loops, and with the pool the only unsafe code of this crate.
//!
//! Each kernel is written once over [`lanes::Lanes`] and compiled for each instruction set. Which one runs is
//! found out when the program runs on x86-64, and is settled when it is compiled elsewhere.

#![expect(unsafe_code, reason = "instruction sets")]
#![expect(clippy::inline_always, reason = "kernels are compiled anew for each instruction set")]
#![allow(clippy::wildcard_imports, reason = "the names of instructions say where they come from")]
#![expect(clippy::needless_range_loop, reason = "several arrays are indexed by one register's number")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blend;
mod elementwise;
mod float_kernels;
mod input;
mod isa;
mod kernels;
mod lanes;
pub(crate) mod layout;
mod limits;
mod line;
mod packing;
mod plain;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(test)]
pub(crate) mod tests;
mod vectors;
mod wide_kernels;

pub(crate) use blend::{COLUMNS, Rows, Sizes, add_product};
pub(crate) use elementwise::{exp, exp_below, gelu, largest, normalise, rotate, silu, sum_exp};
pub(crate) use float_kernels::{Brain, Half, Single};
pub(crate) use input::{Rounded, Rounding};
pub(crate) use isa::{Isa, Panels, unpacked_lines};
pub(crate) use layout::{LINE, Layout, LayoutName, PANEL_ROWS, PanelShape, Unit, with_layout};
pub(crate) use line::{Line, lines_as_bytes, lines_as_bytes_mut};
pub(crate) use vectors::dot_f32;
