//! From a path to a model that runs.

use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nearside_engine::backend::BackendError;
use nearside_engine::{Engine, EngineError, EngineOptions};
use nearside_gguf::Gguf;

use crate::arguments::{AdapterArgument, CommonArguments, ModelArguments};
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
    let choice = choose(common.backend).await?;
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
    use_adapters(&mut engine, &arguments.lora)?;
    Ok(Opened { engine, load: started.elapsed() })
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
