//! Model files, recorded vectors and adapters.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::PathBuf;

use nearside_engine::evaluation::ParityVectors;
use nearside_engine::{Engine, EngineOptions};
use nearside_gguf::{ByteSource, SourceError};
use nearside_gpu::{GpuBackend, GpuOptions};

/// A model file, read as it is needed.
pub(crate) struct ModelFile {
    file: RefCell<File>,
    length: u64,
}

impl ByteSource for ModelFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let mut file = self.file.borrow_mut();
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
        read.map_err(|error| SourceError::Io { offset, length: buffer.len() as u64, reason: error.to_string() })
    }
}

/// The model of that name, if it is in the cache.
pub(crate) fn model(name: &str) -> Option<ModelFile> {
    let cache = std::env::var_os("NEARSIDE_CACHE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache").join("nearside")))?;
    let path = cache.join("models").join(name);
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    match opened {
        Ok((length, file)) => Some(ModelFile { file: RefCell::new(file), length }),
        Err(error) => {
            eprintln!("skipped: {}: {error}; get it with `cargo xtask models`", path.display());
            None
        }
    }
}

/// What the reference engine answered.
pub(crate) fn vectors(name: &str) -> ParityVectors {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity").join(name);
    let text = std::fs::read_to_string(path).expect("the vectors are in the repository");
    serde_json::from_str(&text).expect("the vectors are sound")
}

/// The adapter with that in its name, if there is one.
pub(crate) fn backend(adapter: &str, allow_subgroups: bool) -> Option<GpuBackend> {
    let options = GpuOptions { adapter: Some(adapter.to_owned()), allow_subgroups, ..GpuOptions::default() };
    backend_with(adapter, options)
}

/// The same with no more than any adapter has.
pub(crate) fn least_backend(adapter: &str) -> Option<GpuBackend> {
    let least = GpuOptions {
        adapter: Some(adapter.to_owned()),
        allow_subgroups: false,
        allow_f16: false,
        least_limits: true,
        ..GpuOptions::default()
    };
    let backend = backend_with(adapter, least)?;
    let facts = backend.facts();
    assert_eq!((facts.max_storage_binding_size, facts.max_workgroup_invocations), (128 << 20, 256), "{facts:?}");
    assert!(facts.max_workgroup_memory <= 32 << 10 && !facts.f16 && !facts.subgroups, "{facts:?}");
    Some(backend)
}

fn backend_with(adapter: &str, options: GpuOptions) -> Option<GpuBackend> {
    match pollster::block_on(GpuBackend::probe(options)) {
        Ok(backend) => Some(backend),
        Err(error) => {
            eprintln!("skipped: {adapter}: {error}");
            None
        }
    }
}

/// A loaded model.
pub(crate) fn engine(file: &ModelFile, backend: &GpuBackend, context: usize) -> Engine {
    let options = EngineOptions { context: Some(context), ..EngineOptions::default() };
    let mut progress = |_, _| ControlFlow::Continue(());
    pollster::block_on(Engine::load(file, backend, options, &mut progress)).expect("the model loads")
}
