//! nearside: run, chat, serve, inspect, eval and bench.

fn main() {}
