//! Surviving a lost device.

use nearside_gguf::{ByteSource, Gguf};

use crate::backend::{Backend, LoadProgress, WeightFile};
use crate::{Engine, EngineError};

impl Engine {
    /// Loads the same model again: on the same backend when its device came back, or on any other. Sessions keep
    /// their tokens and adapters stay in use; caches are filled again when their sessions are next used. Until it
    /// succeeds every use of the model fails with the error of a lost device, and it can be called again.
    ///
    /// [`crate::Generation::recover`] does this under an answer, which then goes on.
    pub async fn recover<'a>(
        &'a mut self,
        bytes: &'a dyn ByteSource,
        backend: &'a dyn Backend,
        progress: &'a mut LoadProgress<'a>,
    ) -> Result<(), EngineError> {
        let gguf = Gguf::read(bytes)?;
        let (_, graph) = crate::architectures::build(&gguf, bytes, self.executor_options.context)?;
        if graph != self.graph {
            return Err(EngineError::OtherModel);
        }
        // Room for the weights that come.
        self.pipeline.give_up();
        self.sessions.lose_caches();
        self.embedding_cache = None;
        let file = WeightFile { gguf: &gguf, bytes };
        let executor = backend.load(&self.graph, file, self.executor_options, progress).await?;
        self.info.context = executor.options().context;
        self.info.cache = executor.options().cache;
        self.info.backend = backend.describe();
        self.pipeline.replace(executor);
        self.restore_adapters()
    }
}
