//! From a path to a model that runs.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nearside_engine::backend::{BackendError, BackendKind};
use nearside_engine::{Engine, EngineError, EngineOptions, Generation};
use nearside_gguf::Gguf;

use crate::arguments::{AdapterArgument, BackendName, CacheName, CommonArguments, ModelArguments};
use crate::backend::choose;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::size;
use crate::progress::Progress;
use crate::source::FileSource;

/// A model that runs.
pub(crate) struct Opened {
    /// Ready to generate.
    pub(crate) engine: Engine,
    /// How long reading and preparing it took, the choice of a backend not included.
    pub(crate) load: Duration,
    /// For when its device is lost.
    pub(crate) reload: Reload,
}

/// How a model is loaded again after its device was lost.
pub(crate) struct Reload {
    path: PathBuf,
    backend: Option<BackendName>,
    threads: Option<usize>,
}

impl Reload {
    /// Loads the model again under an answer, which then goes on. Where the GPU does not come back and nobody insists
    /// on one, the CPU takes over.
    pub(crate) async fn under(&self, generation: &mut Generation<'_>, interrupt: &Interrupt) -> Result<(), Failure> {
        eprintln!("(the device was lost: loading the model again)");
        let source = FileSource::open(&self.path)?;
        let mut report = |_, _| if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let choice = choose(self.backend, self.threads).await?;
        let failed = match generation.recover(&source, choice.backend.as_ref(), &mut report).await {
            Ok(()) => return Ok(()),
            Err(EngineError::Backend(BackendError::Cancelled)) => return Err(Failure::Interrupted),
            Err(error) => error,
        };
        if self.backend == Some(BackendName::Gpu) || choice.backend.describe().kind == BackendKind::Cpu {
            return Err(failed.into());
        }
        eprintln!("(it did not come back, and the CPU takes over: {failed})");
        let choice = choose(Some(BackendName::Cpu), self.threads).await?;
        Ok(generation.recover(&source, choice.backend.as_ref(), &mut report).await?)
    }
}

/// Opens a file and reads its table.
pub(crate) fn read_table(path: &Path) -> Result<(FileSource, Gguf), Failure> {
    let source = FileSource::open(path)?;
    let gguf = Gguf::read(&source).map_err(|reason| Failure::Gguf { path: path.to_owned(), reason })?;
    Ok((source, gguf))
}

/// Loads a model for running, with a progress line; Ctrl-C breaks it off.
pub(crate) async fn open(
    arguments: &ModelArguments,
    common: CommonArguments,
    interrupt: &Interrupt,
) -> Result<Opened, Failure> {
    // A file that is no model should not cost the user a wait for a GPU.
    let (source, _) = read_table(&arguments.model)?;
    let choice = choose(common.backend, common.threads).await?;
    choice.announce();

    let started = Instant::now();
    let mut progress = Progress::new();
    let options =
        EngineOptions { context: arguments.context, cache: arguments.cache.into(), ..EngineOptions::default() };
    let mut report = |done: u64, total: u64| {
        progress.show(|| format!("loading {}: {} of {}", arguments.model.display(), size(done), size(total)));
        if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut engine =
        Engine::load(&source, choice.backend.as_ref(), options, &mut report).await.map_err(|error| match error {
            EngineError::Backend(BackendError::Cancelled) => Failure::Interrupted,
            reason => Failure::Load { path: arguments.model.clone(), reason },
        })?;
    interrupt.check()?;
    if engine.info().cache != options.cache {
        eprintln!(
            "note: keys and values are kept as {}: {} needs heads whose width is a multiple of 32 on this backend",
            CacheName::from(engine.info().cache),
            arguments.cache
        );
    }
    use_adapters(&mut engine, &arguments.lora)?;
    let reload = Reload { path: arguments.model.clone(), backend: common.backend, threads: common.threads };
    Ok(Opened { engine, load: started.elapsed(), reload })
}

fn use_adapters(engine: &mut Engine, adapters: &[AdapterArgument]) -> Result<(), Failure> {
    let mut active = Vec::with_capacity(adapters.len());
    for AdapterArgument { path, factor } in adapters {
        let source = Rc::new(FileSource::open(path)?);
        let adapter = engine.add_adapter(source).map_err(|reason| Failure::Load { path: path.clone(), reason })?;
        active.push((adapter, *factor));
    }
    if !active.is_empty() {
        engine.use_adapters(&active)?;
    }
    Ok(())
}
