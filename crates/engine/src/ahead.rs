//! Beginning to load a model before its weights are here: the file's table tells what has to be ready for them.

use nearside_gguf::{ByteSource, Gguf, Metadata};

use crate::backend::{Backend, BegunLoad, ExecutorOptions};
use crate::graph::Graph;
use crate::{EngineError, EngineOptions};

/// A model of which only the beginning of the file is known. Nothing of it is believed in the end: what was begun is
/// used only for a whole file that says the same.
pub struct Outline {
    /// Without the metadata, which take much memory.
    table: Gguf,
    graph: Graph,
    options: EngineOptions,
    /// Positions of a session.
    context: usize,
}

/// A load that has begun without the weights; [`crate::Engine::load_begun`] goes on with it. Dropping it gives up what
/// it holds.
pub struct Begun {
    outline: Outline,
    options: ExecutorOptions,
    load: Box<dyn BegunLoad>,
}

impl Outline {
    /// Reads the table of a file that may still be on its way. Reading what is not there yet is an error, and later it
    /// may succeed.
    pub fn read(bytes: &dyn ByteSource, options: EngineOptions) -> Result<Self, EngineError> {
        let context = options.positions()?;
        let mut table = Gguf::read(bytes)?;
        let (config, graph) = crate::architectures::build(&table, bytes, context)?;
        table.metadata = Metadata::default();
        Ok(Self { table, graph, options, context: context.min(config.context) })
    }

    /// Has the backend do what can be done without the weights, where it gains anything by that.
    pub async fn begin(self, backend: &dyn Backend) -> Result<Option<Begun>, EngineError> {
        let options = self.options.executor(self.context, backend);
        let load = backend.begin(&self.graph, &self.table, options).await?;
        Ok(load.map(|load| Begun { outline: self, options, load }))
    }
}

impl Begun {
    /// Does the rest of what needs no weights, so that nothing but reading them is left.
    pub async fn rehearse(self) -> Result<Self, EngineError> {
        Ok(Self { load: self.load.rehearse().await?, ..self })
    }

    /// What was begun, if it was for this.
    pub(crate) fn of(self, file: &Gguf, graph: &Graph, options: ExecutorOptions) -> Option<Box<dyn BegunLoad>> {
        let Outline { table, graph: planned, .. } = self.outline;
        (table.tensors == file.tensors && planned == *graph && self.options == options).then_some(self.load)
    }
}
