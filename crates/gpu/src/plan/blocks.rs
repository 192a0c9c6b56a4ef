//! A layer's attention, from what is multiplied for queries, keys and values to what attends: operations that
//! a step of one token does in few dispatches.

use std::sync::Arc;

use nearside_engine::graph::{CacheShape, Graph, Op, RopePairing, Slot, Weight};
use nearside_gguf::DataType;

use crate::kernels::attention::MAX_HEAD_DIM;

/// Rows of a matrix that are multiplied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub(crate) weight: Weight,
    pub(crate) bias: Option<Weight>,
    pub(crate) rows: usize,
}

/// How queries and keys rotate.
#[derive(Debug)]
pub(crate) struct Rotation<'a> {
    pub(crate) pairing: RopePairing,
    pub(crate) frequencies: &'a Arc<[f32]>,
    pub(crate) magnitude: f32,
}

/// Vectors one after the other, each with its length; zeros where there is none.
pub(crate) type Members = Vec<(Option<usize>, usize)>;

#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// How many operations, of which the last one attends.
    pub(crate) length: usize,
    pub(crate) input: Slot,
    /// Of the products.
    pub(crate) scale: f32,
    /// Queries', keys' and values', or one that gives all.
    pub(crate) products: Vec<Product>,
    /// Where the one product has queries, keys and values.
    columns: Option<[usize; 3]>,
    /// What holds them on the way.
    pub(crate) slots: Vec<Slot>,
    /// Weight and epsilon of the queries' norm and of the keys'.
    pub(crate) norms: [Option<(Weight, f32)>; 2],
    pub(crate) rotation: Option<Rotation<'a>>,
    pub(crate) layer: usize,
    pub(crate) shape: CacheShape,
    pub(crate) heads: usize,
    /// Of the scores.
    pub(crate) attention_scale: f32,
    pub(crate) window: Option<usize>,
    pub(crate) output: Slot,
}

/// How the products of a block lie side by side.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The products, those of one format next to each other.
    pub(crate) order: Vec<usize>,
    /// Where queries, keys and values begin.
    pub(crate) columns: [usize; 3],
}

/// Products, and where each goes.
type Products = Vec<(Product, Slot)>;

/// Products with an equal input and an equal scale.
fn products(graph: &Graph, ops: &[Op], count: usize) -> Option<(Slot, f32, Products)> {
    let all: Option<Vec<_>> = ops
        .get(..count)?
        .iter()
        .map(|op| match op {
            Op::MatMul { weight, bias, scale, residual: None, input, output } => {
                let rows = graph.weights[weight.0].rows;
                Some((*input, *scale, (Product { weight: *weight, bias: *bias, rows }, *output)))
            }
            _ => None,
        })
        .collect();
    let all = all?;
    let (input, scale, _) = *all.first()?;
    let alike = all.iter().all(|one| one.0 == input && one.1.to_bits() == scale.to_bits());
    alike.then(|| (input, scale, all.into_iter().map(|one| one.2).collect()))
}

/// The columns of one slot that three operations copy: where each begins, and where it goes.
fn columns(ops: &[Op], from: Slot) -> Option<Vec<(usize, Slot)>> {
    let copy = |op: &Op| match op {
        Op::Columns { input, start, output } if *input == from => Some((*start, *output)),
        _ => None,
    };
    ops.get(..3)?.iter().map(copy).collect()
}

impl<'a> Block<'a> {
    /// The block with which these operations begin, if they do.
    pub(crate) fn find(graph: &Graph, ops: &'a [Op]) -> Option<Self> {
        let (input, scale, mut found, parts, mut at) = if let Some((input, scale, three)) = products(graph, ops, 3) {
            let parts = three.iter().map(|(_, slot)| (0, *slot)).collect();
            (input, scale, three, parts, 3)
        } else {
            let (input, scale, one) = products(graph, ops, 1)?;
            let parts = columns(&ops[1..], one.first()?.1)?;
            (input, scale, one, parts, 4)
        };
        let mut norms = Vec::new();
        while let Some(Op::RmsNorm { input, weight, group, epsilon, output }) = ops.get(at)
            && input == output
        {
            norms.push((*input, *weight, *group, *epsilon));
            at += 1;
        }
        let mut ropes = Vec::new();
        while let Some(Op::Rope { slot, head_dim, pairing, frequencies, magnitude, .. }) = ops.get(at) {
            ropes.push((*slot, *head_dim, Rotation { pairing: *pairing, frequencies, magnitude: *magnitude }));
            at += 1;
        }
        let [
            Op::StoreCache { layer, key, value },
            Op::Attention { layer: attended, query, heads, scale: attention_scale, window, output },
            ..,
        ] = ops.get(at..)?
        else {
            return None;
        };
        let shape = graph.caches[*layer];
        let head_dim = shape.head_dim;
        let wanted = [*query, *key, *value];
        let widths = [heads * head_dim, shape.heads * head_dim, shape.heads * head_dim];
        let mut starts = [0; 3];
        for (start, slot) in starts.iter_mut().zip(wanted) {
            *start = parts.iter().find(|part| part.1 == slot)?.0;
        }
        let fused = found.len() == 1;
        if !fused {
            found.sort_by_key(|(_, slot)| wanted.iter().position(|wanted| wanted == slot));
        }
        let mut slots: Vec<_> = wanted.to_vec();
        slots.extend(found.iter().map(|(_, slot)| *slot).filter(|_| fused));
        let products: Vec<_> = found.into_iter().map(|(product, _)| product).collect();
        let fits = |(part, width): (usize, &usize)| {
            if fused { starts[part] + width <= products[0].rows } else { products[part].rows == *width }
        };
        let whole = layer == attended
            && key != value
            && query != key
            && query != value
            && !slots.contains(output)
            && !slots.contains(&input)
            && shape.heads > 0
            && heads.is_multiple_of(shape.heads)
            && head_dim.is_multiple_of(8)
            && (1..=MAX_HEAD_DIM).contains(&head_dim)
            && widths.iter().enumerate().all(fits);
        if !whole || norms.len() > 2 || ropes.iter().any(|rope| rope.1 != head_dim) {
            return None;
        }
        let of = |slot: Slot| norms.iter().find(|norm| norm.0 == slot).map(|norm| (norm.1, norm.3));
        let head_norms = [of(*query), of(*key)];
        if head_norms.iter().flatten().count() != norms.len() || norms.iter().any(|norm| norm.2 != head_dim) {
            return None;
        }
        let rotation = match <[_; 2]>::try_from(ropes) {
            Ok([one, other]) => {
                let both = (one.0, other.0) == (*query, *key) || (other.0, one.0) == (*query, *key);
                let alike = one.2.pairing == other.2.pairing
                    && **one.2.frequencies == **other.2.frequencies
                    && one.2.magnitude.to_bits() == other.2.magnitude.to_bits();
                let pairs = one.2.frequencies.len();
                if !both || !alike || pairs == 0 || pairs * 2 > head_dim {
                    return None;
                }
                Some(one.2)
            }
            Err(none) if none.is_empty() => None,
            Err(_) => return None,
        };
        Some(Self {
            length: at + 2,
            input,
            scale,
            products,
            columns: fused.then_some(starts),
            slots,
            norms: head_norms,
            rotation,
            layer: *layer,
            shape,
            heads: *heads,
            attention_scale: *attention_scale,
            window: *window,
            output: *output,
        })
    }

    /// All blocks of a graph.
    pub(crate) fn all(graph: &'a Graph) -> impl Iterator<Item = Self> {
        (0..graph.ops.len()).filter_map(|at| Self::find(graph, &graph.ops[at..]))
    }

    /// Elements of all products together.
    pub(crate) fn width(&self) -> usize {
        self.products.iter().map(|product| product.rows).sum()
    }

    pub(crate) fn layout(&self, format: impl Fn(Weight) -> DataType) -> Layout {
        let mut order: Vec<usize> = (0..self.products.len()).collect();
        let formats: Vec<_> = self.products.iter().map(|product| format(product.weight)).collect();
        order.sort_by_key(|index| formats.iter().position(|format| *format == formats[*index]));
        let columns = self.columns.unwrap_or_else(|| {
            let mut columns = [0; 3];
            let mut column = 0;
            for index in &order {
                columns[*index] = column;
                column += self.products[*index].rows;
            }
            columns
        });
        Layout { order, columns }
    }

    /// The biases side by side, if there are any.
    pub(crate) fn biases(&self, layout: &Layout) -> Option<Members> {
        let bias = |index: &usize| (self.products[*index].bias.map(|bias| bias.0), self.products[*index].rows);
        let members: Members = layout.order.iter().map(bias).collect();
        members.iter().any(|member| member.0.is_some()).then_some(members)
    }

    /// The weights of the norms side by side, if there are any.
    pub(crate) fn norm_weights(&self) -> Option<Members> {
        let weights = self.norms.iter().flatten();
        let members: Members = weights.map(|(weight, _)| (Some(weight.0), self.shape.head_dim)).collect();
        (!members.is_empty()).then_some(members)
    }
}

#[cfg(test)]
mod tests {
    use nearside_engine::graph::{Op, Weight};
    use nearside_gguf::DataType;

    use super::Block;
    use crate::graph_tests::model;

    #[test]
    fn products_of_one_format_lie_together() {
        let model = model();
        let start = model.graph.ops.iter().position(|op| matches!(op, Op::MatMul { .. })).expect("a product");
        let block = Block::find(&model.graph, &model.graph.ops[start..]).expect("a block");
        let rows: Vec<_> = block.products.iter().map(|product| product.rows).collect();
        assert_eq!(rows, [96, 48, 48]);
        let same = block.layout(|_| DataType::Q4K);
        assert_eq!((same.order, same.columns), (vec![0, 1, 2], [0, 96, 144]));
        let other = |weight: Weight| if weight == block.products[1].weight { DataType::F16 } else { DataType::Q4K };
        let mixed = block.layout(other);
        assert_eq!((mixed.order, mixed.columns), (vec![0, 2, 1], [0, 144, 96]));
    }

    #[test]
    fn what_lacks_a_part_is_no_block() {
        let model = model();
        let start = model.graph.ops.iter().position(|op| matches!(op, Op::MatMul { .. })).expect("a product");
        let length = Block::find(&model.graph, &model.graph.ops[start..]).expect("a block").length;
        for missing in start..start + length {
            let mut ops = model.graph.ops.clone();
            // Without a norm it is still one.
            if !matches!(ops.remove(missing), Op::RmsNorm { .. }) {
                assert!(Block::find(&model.graph, &ops[start..]).is_none(), "without operation {missing}");
            }
        }
    }
}
