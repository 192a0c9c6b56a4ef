//! Whether a graph's references and widths fit, so that backends need not meet one that does not.

use super::{CacheShape, Graph, Op, Slot, Weight, WeightSpec};

/// The first thing in a graph that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("operation {operation} of the graph: {problem}; the graph was not made for this model")]
pub struct GraphError {
    /// Index in [`Graph::ops`]; as many as there are for what follows the last.
    pub operation: usize,
    /// What does not fit.
    pub problem: GraphProblem,
}

/// What does not fit in an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphProblem {
    /// It names something that is not there.
    #[error("there is no {what} {index}")]
    Missing {
        /// Slot, weight or cache.
        what: &'static str,
        /// Its number.
        index: usize,
    },
    /// Two sizes that must agree do not.
    #[error("{what}: {found}, {expected} expected")]
    Size {
        /// Of what.
        what: &'static str,
        /// The size it has.
        found: usize,
        /// The size that fits.
        expected: usize,
    },
    /// A size must hold another several times and does not.
    #[error("{what}: {found} is not a multiple of {of}")]
    Multiple {
        /// Of what.
        what: &'static str,
        /// The size it has.
        found: usize,
        /// What it must be a multiple of.
        of: usize,
    },
    /// A size beyond its bound.
    #[error("{what}: {found} is not between {least} and {most}")]
    Bound {
        /// Of what.
        what: &'static str,
        /// The size it has.
        found: usize,
        /// The least there may be.
        least: usize,
        /// The most there may be.
        most: usize,
    },
    /// A product reads what it writes.
    #[error("a product cannot replace its input")]
    InPlace,
}

type Checked<T = ()> = Result<T, GraphProblem>;

impl Graph {
    /// Finds the first reference or width that does not fit.
    pub fn check(&self) -> Result<(), GraphError> {
        for (operation, op) in self.ops.iter().enumerate() {
            self.check_op(op).map_err(|problem| GraphError { operation, problem })?;
        }
        let ends = self.width(self.hidden).and(self.expect_width("the logits", self.logits, self.vocabulary));
        ends.map_err(|problem| GraphError { operation: self.ops.len(), problem })
    }

    fn check_op(&self, op: &Op) -> Checked {
        match op {
            Op::Embed { table, output, .. } => {
                let table = self.weight(*table)?;
                expect("rows of the table", table.rows, self.vocabulary)?;
                expect("columns of the table", table.columns, self.width(*output)?)
            }
            Op::RmsNorm { input, weight, group, output, .. } => {
                self.expect_width("the output", *output, self.width(*input)?)?;
                expect("the factors", self.vector(*weight)?, *group)?;
                multiple("the width", self.width(*input)?, *group)
            }
            Op::MatMul { weight, bias, residual, input, output, .. } => {
                let matrix = self.weight(*weight)?;
                self.expect_width("the input", *input, matrix.columns)?;
                self.expect_width("the output", *output, matrix.rows)?;
                if input == output {
                    return Err(GraphProblem::InPlace);
                }
                if let Some(bias) = bias {
                    expect("the bias", self.vector(*bias)?, matrix.rows)?;
                }
                residual.map_or(Ok(()), |slot| self.expect_width("the residual", slot, matrix.rows))
            }
            Op::Rope { slot, heads, head_dim, frequencies, .. } => {
                self.heads("the slot", *slot, *heads, *head_dim)?;
                bound("pairs that rotate", frequencies.len(), 0, head_dim / 2)
            }
            Op::StoreCache { layer, key, value } => {
                let shape = self.cache(*layer)?;
                self.heads("the keys", *key, shape.heads, shape.head_dim)?;
                self.heads("the values", *value, shape.heads, shape.head_dim)
            }
            Op::Attention { layer, query, heads, window, output, .. } => {
                let shape = self.cache(*layer)?;
                self.heads("the query", *query, *heads, shape.head_dim)?;
                self.heads("the output", *output, *heads, shape.head_dim)?;
                multiple("the query heads", *heads, shape.heads)?;
                window.map_or(Ok(()), |window| bound("the window", window, 1, usize::MAX))
            }
            Op::Gate { gate, up, output, .. } => {
                self.expect_width("the gated value", *up, self.width(*gate)?)?;
                self.expect_width("the output", *output, self.width(*gate)?)
            }
            Op::Add { left, right, output } => {
                self.expect_width("the right side", *right, self.width(*left)?)?;
                self.expect_width("the output", *output, self.width(*left)?)
            }
            Op::Columns { input, start, output } => {
                let (input, output) = (self.width(*input)?, self.width(*output)?);
                bound("the last column", start.saturating_add(output), 1, input)
            }
            Op::LastRows { input, output } => self.expect_width("the output", *output, self.width(*input)?),
        }
    }

    fn width(&self, slot: Slot) -> Checked<usize> {
        found("slot", slot.0, &self.slots).copied()
    }

    fn expect_width(&self, what: &'static str, slot: Slot, expected: usize) -> Checked {
        expect(what, self.width(slot)?, expected)
    }

    fn weight(&self, weight: Weight) -> Checked<&WeightSpec> {
        found("weight", weight.0, &self.weights)
    }

    fn vector(&self, weight: Weight) -> Checked<usize> {
        let spec = self.weight(weight)?;
        expect("rows of a vector", spec.rows, 1)?;
        Ok(spec.columns)
    }

    fn cache(&self, layer: usize) -> Checked<&CacheShape> {
        found("cache", layer, &self.caches)
    }

    fn heads(&self, what: &'static str, slot: Slot, heads: usize, head_dim: usize) -> Checked {
        bound("heads", heads, 1, usize::MAX)?;
        bound("elements of a head", head_dim, 1, usize::MAX / heads)?;
        self.expect_width(what, slot, heads * head_dim)
    }
}

fn found<'a, T>(what: &'static str, index: usize, all: &'a [T]) -> Checked<&'a T> {
    all.get(index).ok_or(GraphProblem::Missing { what, index })
}

fn expect(what: &'static str, found: usize, expected: usize) -> Checked {
    if found == expected { Ok(()) } else { Err(GraphProblem::Size { what, found, expected }) }
}

fn bound(what: &'static str, found: usize, least: usize, most: usize) -> Checked {
    if (least..=most).contains(&found) { Ok(()) } else { Err(GraphProblem::Bound { what, found, least, most }) }
}

fn multiple(what: &'static str, found: usize, of: usize) -> Checked {
    if of > 0 && found > 0 && found.is_multiple_of(of) {
        Ok(())
    } else {
        Err(GraphProblem::Multiple { what, found, of })
    }
}
