//! What a wasm module offers to who loads it.

use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{BinaryReaderError, ExternalKind, Parser, Payload};

/// Beginnings of names that nothing here calls: llguidance's interface for C. What is exported is kept, with all
/// that it calls.
const UNWANTED: [&str; 1] = ["llg_"];

/// The module without exports that nobody uses.
pub(super) fn pruned(module: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut kept = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::ExportSection(exports) = payload {
            let mut section = ExportSection::new();
            for export in exports {
                let export = export?;
                if !UNWANTED.iter().any(|unwanted| export.name.starts_with(unwanted)) {
                    section.export(export.name, kind(export.kind), export.index);
                }
            }
            kept.section(&section);
        } else if let Some((id, range)) = payload.as_section() {
            kept.section(&RawSection { id, data: &module[range] });
        }
    }
    Ok(kept.finish())
}

fn kind(kind: ExternalKind) -> ExportKind {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with a memory that it exports under these names.
    fn exporting(names: &[&str]) -> Vec<u8> {
        let memory = wasm_encoder::MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        let (mut memories, mut exports) = (wasm_encoder::MemorySection::new(), ExportSection::new());
        memories.memory(memory);
        for name in names {
            exports.export(name, ExportKind::Memory, 0);
        }
        let mut module = Module::new();
        module.section(&memories).section(&exports);
        module.finish()
    }

    #[test]
    fn only_unused_exports_go() {
        let module = exporting(&["memory", "llg_new_tokenizer", "start"]);
        assert_eq!(pruned(&module).ok(), Some(exporting(&["memory", "start"])));
        assert!(pruned(b"not a module").is_err());
    }
}
