//! The model as a program.
//!
//! A file's architecture becomes a [`graph::Graph`], a flat list of operations over numbered activation
//! slots and named weights. A [`backend::Backend`] compiles it once into an [`backend::Executor`], which
//! then runs steps: tokens in, and out come the sampled token and the few best candidates, never the
//! whole of the logits. Sessions, sampling rules and the pipelining of steps live here, above the
//! backends, so that both behave alike.

pub mod backend;
pub mod graph;
