//! From a path to a model that runs.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nearside_engine::backend::{Backend, BackendError, BackendKind};
use nearside_engine::{Engine, EngineError, EngineOptions, Generation, Session};
use nearside_gguf::{FileBytes, Gguf};

use crate::arguments::{AdapterArgument, BackendName, CacheName, CommonArguments, ModelArguments};
use crate::backend::choose;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::size;
use crate::progress::Progress;
use crate::source;

/// A model that runs.
pub(crate) struct Opened {
    /// Ready to generate.
    pub(crate) engine: Engine,
    /// How long reading and preparing it took, the choice of a backend not included.
    pub(crate) load: Duration,
    /// For when its device is lost.
    pub(crate) reload: Reload,
}

impl Opened {
    /// Room for a conversation, on another device if the one before is lost.
    pub(crate) async fn session(&mut self, interrupt: &Interrupt) -> Result<Session, Failure> {
        match self.engine.create_session() {
            Err(error) if error.is_device_lost() => {
                self.reload.engine(&mut self.engine, interrupt).await?;
                Ok(self.engine.create_session()?)
            }
            result => Ok(result?),
        }
    }
}

/// How a model is loaded again after its device was lost.
pub(crate) struct Reload {
    path: PathBuf,
    /// Without what a test has go wrong once.
    common: CommonArguments,
}

/// A device that is lost this often under one answer will be lost again.
pub(crate) const MOST_LOSSES: usize = 3;

impl Reload {
    /// Loads the model again under an answer, which then goes on.
    pub(crate) async fn under(&self, generation: &mut Generation<'_>, interrupt: &Interrupt) -> Result<(), Failure> {
        self.revive(async |source, backend| {
            let mut report = reporter(interrupt);
            generation.recover(source, backend, &mut report).await
        })
        .await
    }

    /// Loads the model again between two answers.
    pub(crate) async fn engine(&self, engine: &mut Engine, interrupt: &Interrupt) -> Result<(), Failure> {
        self.revive(async |source, backend| {
            let mut report = reporter(interrupt);
            engine.recover(source, backend, &mut report).await
        })
        .await
    }

    /// Where the GPU does not come back and nobody insists on one, the CPU takes over.
    async fn revive(
        &self,
        mut recover: impl AsyncFnMut(&FileBytes, &dyn Backend) -> Result<(), EngineError>,
    ) -> Result<(), Failure> {
        eprintln!("(the device was lost: loading the model again)");
        let source = source::open(&self.path)?;
        let choice = choose(self.common).await?;
        let failed = match recover(&source, choice.backend.as_ref()).await {
            Ok(()) => return Ok(()),
            Err(EngineError::Backend(BackendError::Cancelled)) => return Err(Failure::Interrupted),
            Err(error) => error,
        };
        if self.common.backend == Some(BackendName::Gpu) || choice.backend.describe().kind == BackendKind::Cpu {
            return Err(failed.into());
        }
        eprintln!("(it did not come back, and the CPU takes over: {failed})");
        let choice = choose(CommonArguments { backend: Some(BackendName::Cpu), ..self.common }).await?;
        Ok(recover(&source, choice.backend.as_ref()).await?)
    }
}

/// Breaks a load off where the user says so.
fn reporter(interrupt: &Interrupt) -> impl FnMut(u64, u64) -> ControlFlow<()> {
    |_, _| if interrupt.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Opens a file and reads its table.
pub(crate) fn read_table(path: &Path) -> Result<(FileBytes, Gguf), Failure> {
    let source = source::open(path)?;
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
    let choice = choose(common).await?;
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
    let common = CommonArguments { gpu_fault: None, ..common };
    let reload = Reload { path: arguments.model.clone(), common };
    Ok(Opened { engine, load: started.elapsed(), reload })
}

fn use_adapters(engine: &mut Engine, adapters: &[AdapterArgument]) -> Result<(), Failure> {
    let mut active = Vec::with_capacity(adapters.len());
    for AdapterArgument { path, factor } in adapters {
        let source = Rc::new(source::open(path)?);
        let adapter = engine.add_adapter(source).map_err(|reason| Failure::Load { path: path.clone(), reason })?;
        active.push((adapter, *factor));
    }
    if !active.is_empty() {
        engine.use_adapters(&active)?;
    }
    Ok(())
}
