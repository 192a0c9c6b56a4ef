//! What is rounded before it is multiplied.
//!
//! Formats with 256 weights to a block want their inputs in eight bits, as the reference engine has them:
//! perplexity differs by more than one per cent otherwise. Whatever writes such an input rounds it, as long as
//! nothing else reads it.

use nearside_engine::graph::{Graph, Op, Slot, Weight};

use super::fusion::{reads, replaces};

/// The slot that an operation may round while it writes.
pub(crate) fn roundable(graph: &Graph, op: &Op) -> Option<Slot> {
    match op {
        Op::RmsNorm { input, group, output, .. } if input != output && *group == graph.slots[output.0] => Some(*output),
        Op::Attention { output, .. } | Op::Gate { output, .. } | Op::LastRows { output, .. } => Some(*output),
        _ => None,
    }
}

/// Whether a slot, after which these operations come, is read by nothing but products that want it rounded.
pub(crate) fn rounds(graph: &Graph, slot: Slot, ops: &[Op], wants: impl Fn(Weight) -> bool) -> bool {
    let mut read = false;
    for op in ops {
        if reads(op, slot) {
            match op {
                Op::MatMul { weight, residual, .. } if *residual != Some(slot) && wants(*weight) => read = true,
                _ => return false,
            }
        }
        if replaces(op, slot) {
            return read;
        }
    }
    read && slot != graph.hidden && slot != graph.logits
}
