//! Low-rank adapters: taken, used in any mixture, and taken out again, without loading the model anew.

mod file;

use std::collections::BTreeMap;
use std::rc::Rc;

use nearside_gguf::ByteSource;

use self::file::AdapterFile;
use crate::backend::AdapterId;
use crate::{Engine, EngineError};

/// An adapter that an engine has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Adapter {
    engine: u64,
    number: u64,
}

/// Every adapter of an engine.
#[derive(Default)]
pub(crate) struct Adapters {
    next: u64,
    taken: BTreeMap<u64, Taken>,
    active: Vec<(u64, f32)>,
}

struct Taken {
    id: AdapterId,
    /// For when the device is lost.
    source: Rc<dyn ByteSource>,
}

impl Adapters {
    /// What caches are computed with, comparable.
    pub(crate) fn active_bits(&self) -> Vec<(u64, u32)> {
        self.active.iter().map(|(number, scale)| (*number, scale.to_bits())).collect()
    }
}

impl Engine {
    /// Takes a low-rank adapter (`LoRA`) from a GGUF file, as llama.cpp's converter writes them. It changes nothing until it is
    /// used. The file is kept, because a device that was lost has to be given the adapter again.
    pub fn add_adapter(&mut self, source: Rc<dyn ByteSource>) -> Result<Adapter, EngineError> {
        let id = self.send_adapter(source.as_ref())?;
        self.adapters.next += 1;
        self.adapters.taken.insert(self.adapters.next, Taken { id, source });
        Ok(Adapter { engine: self.number, number: self.adapters.next })
    }

    /// From now on these adapters change the model, each by its factor (1 as it was trained), and no others; none is
    /// the model itself. Sessions that were computed with others keep their tokens, but what they share with a next
    /// prompt is run again.
    pub fn use_adapters(&mut self, adapters: &[(Adapter, f32)]) -> Result<(), EngineError> {
        let mut active: Vec<(u64, f32)> = Vec::with_capacity(adapters.len());
        for (adapter, scale) in adapters {
            if adapter.engine != self.number || !self.adapters.taken.contains_key(&adapter.number) {
                return Err(refused("this engine does not hold it (any more); add it first"));
            }
            if !scale.is_finite() {
                return Err(refused(&format!("its factor {scale} is not a number; 1 is as it was trained")));
            }
            if active.iter().any(|(number, _)| *number == adapter.number) {
                return Err(refused("it was given twice; add its factors"));
            }
            active.push((adapter.number, *scale));
        }
        // The order does not matter to the products, so it should not matter to what caches are good for.
        active.sort_unstable_by_key(|(number, _)| *number);
        active.retain(|(_, scale)| *scale != 0.0);
        self.activate(active)
    }

    /// Gives an adapter's room back. One in use is no longer.
    pub fn remove_adapter(&mut self, adapter: Adapter) -> Result<(), EngineError> {
        if adapter.engine != self.number {
            return Ok(());
        }
        if self.adapters.active.iter().any(|(number, _)| *number == adapter.number) {
            let rest = self.adapters.active.iter().filter(|(number, _)| *number != adapter.number);
            self.activate(rest.copied().collect())?;
        }
        if let Some(taken) = self.adapters.taken.remove(&adapter.number) {
            self.pipeline.executor.drop_adapter(taken.id);
        }
        Ok(())
    }

    /// Gives a new executor what the one before it had.
    pub(crate) fn restore_adapters(&mut self) -> Result<(), EngineError> {
        let sources: Vec<_> =
            self.adapters.taken.iter().map(|(number, taken)| (*number, Rc::clone(&taken.source))).collect();
        for (number, source) in sources {
            let id = self.send_adapter(source.as_ref())?;
            self.adapters.taken.insert(number, Taken { id, source });
        }
        if self.adapters.active.is_empty() { Ok(()) } else { self.activate(self.adapters.active.clone()) }
    }

    fn send_adapter(&mut self, source: &dyn ByteSource) -> Result<AdapterId, EngineError> {
        let file = AdapterFile::read(source, &self.info.architecture, &self.graph)?;
        Ok(self.pipeline.executor.add_adapter(&mut file.parts(source))?)
    }

    fn activate(&mut self, active: Vec<(u64, f32)>) -> Result<(), EngineError> {
        let ids: Vec<_> =
            active.iter().filter_map(|(number, scale)| Some((self.adapters.taken.get(number)?.id, *scale))).collect();
        self.pipeline.executor.use_adapters(&ids)?;
        self.adapters.active = active;
        Ok(())
    }
}

fn refused(problem: &str) -> EngineError {
    EngineError::Adapter { problem: problem.to_owned() }
}
