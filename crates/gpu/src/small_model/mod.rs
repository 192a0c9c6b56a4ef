//! Models small enough to be run by the plain functions too: what the check at the start and the tests run.

mod plain;

use nearside_engine::graph::{CacheShape, Graph, Slot, Weight, WeightSpec};
use nearside_gguf::{DataType, TensorInfo};

pub(crate) use plain::Plain;

use crate::arbitrary::{Random, random_rows};
use crate::quants::decode;

/// A graph, its file and its weights as plain rows.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) graph: Graph,
    pub(crate) tensors: Vec<TensorInfo>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) weights: Vec<Vec<Vec<f32>>>,
}

/// Adds to a model what its operations need.
pub(crate) struct Builder {
    pub(crate) model: Model,
    random: Random,
}

impl Builder {
    /// A model without operations.
    pub(crate) fn new(vocabulary: usize, caches: Vec<CacheShape>, seed: u64) -> Self {
        let graph = Graph {
            slots: Vec::new(),
            weights: Vec::new(),
            caches,
            ops: Vec::new(),
            hidden: Slot(0),
            logits: Slot(0),
            vocabulary,
        };
        let model = Model { graph, tensors: Vec::new(), bytes: Vec::new(), weights: Vec::new() };
        Self { model, random: Random::new(seed) }
    }

    /// A weight of arbitrary values.
    pub(crate) fn weight(&mut self, rows: usize, columns: usize, data_type: DataType) -> Weight {
        let index = self.model.weights.len();
        let name = format!("weight.{index}");
        let stored = random_rows(data_type, rows, columns, &mut self.random);
        let row_bytes = stored.len() / rows;
        self.model.weights.push(stored.chunks(row_bytes).map(|row| decode(data_type, row)).collect());
        self.model.tensors.push(TensorInfo {
            name: name.clone(),
            data_type,
            dimensions: vec![columns as u64, rows as u64],
            offset: self.model.bytes.len() as u64,
            size: stored.len() as u64,
        });
        self.model.bytes.extend(stored);
        self.model.graph.weights.push(WeightSpec { name, rows, columns });
        Weight(index)
    }

    /// A slot so wide.
    pub(crate) fn slot(&mut self, width: usize) -> Slot {
        self.model.graph.slots.push(width);
        Slot(self.model.graph.slots.len() - 1)
    }
}
