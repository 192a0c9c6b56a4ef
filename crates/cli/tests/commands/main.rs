//! The `nearside` binary as its users meet it.

mod bad_files;
mod chat;
mod embed;
mod forms;
mod gpu;
mod inspect;
#[cfg(unix)]
mod interrupt;
mod measure;
mod model;
mod real_model;
mod run;
mod serve;
mod server;
mod support;
mod usage;
