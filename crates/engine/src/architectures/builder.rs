//! Collects slots and weights while an architecture is written out.

use std::collections::HashMap;

use nearside_gguf::Gguf;

use crate::EngineError;
use crate::graph::{Slot, Weight, WeightSpec};

/// Hands out slots and weights; each weight is checked against the file and listed once.
pub(super) struct Builder<'a> {
    gguf: &'a Gguf,
    pub(super) slots: Vec<usize>,
    pub(super) weights: Vec<WeightSpec>,
    known: HashMap<String, Weight>,
    /// Tensors that are read while building and need no place in the graph.
    read: Vec<String>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(gguf: &'a Gguf) -> Self {
        Self { gguf, slots: Vec::new(), weights: Vec::new(), known: HashMap::new(), read: Vec::new() }
    }

    pub(super) fn slot(&mut self, width: usize) -> Slot {
        self.slots.push(width);
        Slot(self.slots.len() - 1)
    }

    /// Whether the file has that tensor.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    /// A matrix that must be there.
    pub(super) fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Weight, EngineError> {
        self.matrix_if_present(name, rows, columns)?.ok_or_else(|| missing(name))
    }

    /// A matrix that the architecture can do without.
    pub(super) fn matrix_if_present(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Option<Weight>, EngineError> {
        if let Some(weight) = self.known.get(name) {
            return Ok(Some(*weight));
        }
        let Some(tensor) = self.gguf.tensor(name) else {
            return Ok(None);
        };
        if (tensor.columns(), tensor.rows()) != (columns as u64, rows as u64) {
            return Err(EngineError::Tensor {
                name: name.to_owned(),
                problem: format!(
                    "it is {} rows of {}, the metadata asks for {rows} rows of {columns}",
                    tensor.rows(),
                    tensor.columns()
                ),
            });
        }
        let weight = Weight(self.weights.len());
        self.weights.push(WeightSpec { name: name.to_owned(), rows, columns });
        self.known.insert(name.to_owned(), weight);
        Ok(Some(weight))
    }

    /// A vector that must be there.
    pub(super) fn vector(&mut self, name: &str, length: usize) -> Result<Weight, EngineError> {
        self.matrix(name, 1, length)
    }

    /// A vector that the architecture can do without.
    pub(super) fn vector_if_present(&mut self, name: &str, length: usize) -> Result<Option<Weight>, EngineError> {
        self.matrix_if_present(name, 1, length)
    }

    /// Notes a tensor, if there is one, that was read while building.
    pub(super) fn mark_read(&mut self, name: &str) {
        self.read.push(name.to_owned());
    }

    /// A tensor that the graph has no place for would silently change the model's answers.
    pub(super) fn check_all_used(&self) -> Result<(), EngineError> {
        let unused = self
            .gguf
            .tensors
            .iter()
            .find(|tensor| !self.known.contains_key(&tensor.name) && !self.read.contains(&tensor.name));
        match unused {
            None => Ok(()),
            Some(tensor) => Err(EngineError::Tensor {
                name: tensor.name.clone(),
                problem: "this architecture has no such tensor".to_owned(),
            }),
        }
    }
}

fn missing(name: &str) -> EngineError {
    EngineError::Tensor { name: name.to_owned(), problem: "it is missing".to_owned() }
}
