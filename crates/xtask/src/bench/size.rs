//! What a page downloads besides weights: ours, and the peers' published packages.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::peers;
use crate::build::{self, Part, size};
use crate::context::Context;
use crate::error::Result;
use crate::output;

/// What a page downloads of a peer, as the peer's documentation has it loaded.
struct PeerDownload {
    name: &'static str,
    files: &'static [(peers::Peer, &'static str)],
}

const PEERS: [PeerDownload; 2] = [
    PeerDownload {
        name: "wllama 3.8.1",
        files: &[(peers::WLLAMA, "esm/index.min.js"), (peers::WLLAMA, "esm/wasm/wllama.wasm")],
    },
    PeerDownload {
        name: "transformers.js 4.3.1",
        files: &[
            (peers::TRANSFORMERS, "dist/transformers.min.js"),
            (peers::ONNX_RUNTIME, "dist/ort-wasm-simd-threaded.asyncify.mjs"),
            (peers::ONNX_RUNTIME, "dist/ort-wasm-simd-threaded.asyncify.wasm"),
        ],
    },
];

pub(super) fn run(context: &Context, json: bool) -> Result<ExitCode> {
    if json {
        output::keep_for_result();
    }
    build::build(context, &[Part::Package])?;
    let ours = size::downloads(context)?;
    let mut theirs = Vec::new();
    for peer in &PEERS {
        let files: Result<Vec<_>> =
            peer.files.iter().map(|(package, file)| Ok(package.ensure(context)?.join(file))).collect();
        theirs.push((peer.name, size::brotli(context, &files?)?));
    }
    // Every build carries both backends, so the GPU's path and the CPU's differ only in which build a page can run.
    let most = ours.iter().map(|download| download.bytes).max().unwrap_or(0);
    if json {
        let builds: Map<_, _> = ours.iter().map(|one| (one.build.clone(), Value::from(one.bytes))).collect();
        let peers: Map<_, _> = theirs.iter().map(|(name, bytes)| ((*name).to_owned(), Value::from(*bytes))).collect();
        let report = json!({ "gpu_brotli_bytes": most, "cpu_brotli_bytes": most, "builds": builds, "peers": peers });
        output::result(&report.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    output::result("bytes a page downloads besides weights, brotli");
    for (name, bytes) in ours.iter().map(|one| (format!("nearside, build {}", one.build), one.bytes)) {
        output::result(&format!("{bytes:>10}  {name}"));
    }
    for (name, bytes) in theirs {
        output::result(&format!("{bytes:>10}  {name}"));
    }
    Ok(ExitCode::SUCCESS)
}
