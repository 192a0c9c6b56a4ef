//! One operation on some rows.

use nearside_engine::backend::{BackendError, TokenId};
use nearside_engine::graph::{Op, Slot, Weight};

use super::{Buffers, CpuExecutor, Held, invalid};
use crate::attention::Attention;
use crate::cache::Cache;
use crate::matrix::Matrix;
use crate::memory::grow;
use crate::ops;
use crate::pool::Pool;

/// Below so many numbers, sharing the work costs more than it saves.
const PARALLEL_NUMBERS: usize = 1 << 14;

impl CpuExecutor {
    /// Runs an operation on `rows` rows, of which `chosen` are left after the copy of the last ones. The graph
    /// was checked when it was loaded, so widths agree.
    pub(super) fn run_operation(
        &mut self,
        index: usize,
        position: usize,
        tokens: &[TokenId],
        (rows, chosen): (usize, usize),
        cache: &mut Cache,
    ) -> Result<(), BackendError> {
        let Self { graph, plan, weights, buffers, adapters, pool, .. } = self;
        let Buffers { slots, scratch, attention, rooms, rounded } = buffers;
        // Products that follow each other and have their inputs in common round them once.
        let product_of = match &graph.ops[index] {
            Op::MatMul { input, output, .. } if input != output => Some(*input),
            _ => None,
        };
        if product_of.is_none() || *rounded != product_of {
            rooms.forget_inputs();
        }
        *rounded = product_of;
        let width = |slot: Slot| graph.slots[slot.0];
        let length = |slot: Slot| rows * graph.slots[slot.0];
        match &graph.ops[index] {
            Op::Embed { table, scale, output } => {
                let width = width(*output);
                for (token, row) in tokens.iter().zip(slots[output.0].chunks_exact_mut(width)) {
                    match &mut weights[table.0] {
                        Held::Lookup(table) => table.expand_row(*token as usize, row)?,
                        _ => matrix(weights, *table)?.expand_row(*token as usize, row),
                    }
                    ops::scale(row, *scale);
                }
            }
            Op::RmsNorm { input, weight, epsilon, output, .. } => {
                let (width, length, weight) = (width(*input), length(*input), vector(weights, *weight)?);
                if let Some((input, output)) = apart(slots, *input, *output) {
                    each_row(pool, &mut output[..length], width, &|row, output| {
                        ops::rms_norm(&input[row * width..][..width], weight, *epsilon, output);
                    });
                } else {
                    each_row(pool, &mut slots[output.0][..length], width, &|_, values| {
                        ops::rms_norm_in_place(values, weight, *epsilon);
                    });
                }
            }
            Op::MatMul { weight, bias, scale, residual, input, output } => {
                let (features, inputs, length) = (width(*output), length(*input), length(*output));
                let (held, bias) = (matrix(weights, *weight)?, bias.map(|bias| vector(weights, bias)).transpose()?);
                let mut multiply = |inputs: &[f32], products: &mut [f32]| -> Result<(), BackendError> {
                    held.multiply(pool, rooms, inputs, products)?;
                    adapters.change(pool, weight.0, inputs, products)?;
                    ops::scale(products, *scale);
                    if let Some(bias) = bias {
                        products.chunks_exact_mut(features).for_each(|row| ops::add(row, bias));
                    }
                    Ok(())
                };
                let in_place = *residual == Some(*output);
                match apart(slots, *input, *output) {
                    Some((input, output)) if !in_place => multiply(&input[..inputs], &mut output[..length])?,
                    _ => {
                        let products = reserved(scratch, length)?;
                        multiply(&slots[input.0][..inputs], products)?;
                        if in_place {
                            ops::add(&mut slots[output.0], products);
                        } else {
                            slots[output.0][..length].copy_from_slice(products);
                        }
                    }
                }
                if let Some((residual, output)) = residual.and_then(|residual| apart(slots, residual, *output)) {
                    ops::add(&mut output[..length], residual);
                }
            }
            Op::Rope { slot, heads, head_dim, pairing, frequencies, .. } => {
                let Some(angles) = plan.angles(index) else { return Ok(()) };
                let length = length(*slot);
                each_row(pool, &mut slots[slot.0][..length], heads * head_dim, &|row, heads| {
                    angles.rotate(row, frequencies.len(), *pairing, heads.chunks_exact_mut(*head_dim));
                });
            }
            Op::StoreCache { layer, key, value } => {
                let width = width(*key);
                let stored = slots[key.0].chunks_exact(width).zip(slots[value.0].chunks_exact(width));
                for (row, (key, value)) in stored.take(rows).enumerate() {
                    cache.layers[*layer].put(position + row, key, value);
                }
            }
            Op::Attention { layer, query, heads, scale, window, output } => {
                let length = length(*query);
                let mut attend = |queries: &[f32], output: &mut [f32]| {
                    let layer = &cache.layers[*layer];
                    let run = Attention { layer, queries, heads: *heads, position, window: *window, scale: *scale };
                    run.run(pool, attention, output)
                };
                if let Some((queries, output)) = apart(slots, *query, *output) {
                    attend(&queries[..length], &mut output[..length])?;
                } else {
                    let queries = reserved(scratch, length)?;
                    queries.copy_from_slice(&slots[query.0][..length]);
                    attend(queries, &mut slots[output.0][..length])?;
                }
            }
            Op::Gate { gate, up, activation, output } => {
                let (width, length) = (width(*gate), length(*gate));
                if gate == output
                    && let Some((up, output)) = apart(slots, *up, *output)
                {
                    each_row(pool, &mut output[..length], width, &|row, values| {
                        ops::activate(*activation, values);
                        ops::multiply(values, &up[row * width..][..width]);
                    });
                } else {
                    let gates = reserved(scratch, length)?;
                    gates.copy_from_slice(&slots[gate.0][..length]);
                    ops::activate(*activation, gates);
                    ops::multiply(gates, &slots[up.0]);
                    slots[output.0][..length].copy_from_slice(gates);
                }
            }
            Op::Add { left, right, output } => {
                let length = length(*left);
                let (first, second) = if right == output { (right, left) } else { (left, right) };
                if let Some((first, output)) = apart(slots, *first, *output) {
                    output[..length].copy_from_slice(&first[..length]);
                }
                match apart(slots, *second, *output) {
                    Some((second, output)) => ops::add(&mut output[..length], second),
                    None => slots[output.0][..length].iter_mut().for_each(|value| *value *= 2.0),
                }
            }
            Op::Columns { input, start, output } => {
                let (wide, narrow) = (width(*input), width(*output));
                // A slot that is copied onto itself is already what it should be.
                if let Some((input, output)) = apart(slots, *input, *output) {
                    for (input, output) in input.chunks_exact(wide).zip(output.chunks_exact_mut(narrow)).take(rows) {
                        output.copy_from_slice(&input[*start..*start + narrow]);
                    }
                }
            }
            Op::LastRows { input, output } => {
                let width = width(*input);
                let last = (rows - chosen) * width..rows * width;
                match apart(slots, *input, *output) {
                    Some((input, output)) => output[..last.len()].copy_from_slice(&input[last]),
                    None => slots[output.0].copy_within(last, 0),
                }
            }
        }
        Ok(())
    }
}

/// One slot to read and another to write; none if they are the same.
fn apart(slots: &mut [Vec<f32>], input: Slot, output: Slot) -> Option<(&[f32], &mut [f32])> {
    match slots.get_disjoint_mut([input.0, output.0]) {
        Ok([input, output]) => Some((input, output)),
        Err(_) => None,
    }
}

fn reserved(scratch: &mut Vec<f32>, length: usize) -> Result<&mut [f32], BackendError> {
    if scratch.len() < length {
        grow(scratch, length, 0.0, || "what an operation holds meanwhile".to_owned())?;
    }
    Ok(&mut scratch[..length])
}

fn each_row(pool: &Pool, items: &mut [f32], width: usize, work: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    if items.len() < PARALLEL_NUMBERS {
        items.chunks_exact_mut(width).enumerate().for_each(|(row, items)| work(row, items));
    } else {
        pool.for_each_chunk(items, width, work);
    }
}

fn matrix(weights: &[Held], weight: Weight) -> Result<&dyn Matrix, BackendError> {
    match &weights[weight.0] {
        Held::Matrix(matrix) => Ok(matrix.as_ref()),
        _ => Err(read_otherwise(weight)),
    }
}

fn vector(weights: &[Held], weight: Weight) -> Result<&[f32], BackendError> {
    match &weights[weight.0] {
        Held::Vector(vector) => Ok(vector),
        _ => Err(read_otherwise(weight)),
    }
}

fn read_otherwise(weight: Weight) -> BackendError {
    invalid(format!("weight {} is both a vector and a matrix", weight.0))
}
