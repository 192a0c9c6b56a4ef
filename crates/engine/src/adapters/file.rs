//! An adapter's file, checked against the model it is for.

use std::collections::BTreeMap;

use nearside_gguf::{ByteSource, Gguf, TensorInfo, dequantize};

use crate::EngineError;
use crate::backend::{BackendError, LowRank};
use crate::graph::{Graph, Op, Weight};

/// Ranks beyond this are no adapters; real ones have up to a few hundred.
const MAX_RANK: u64 = 4096;

/// The two halves of a low-rank change, by the name of the tensor they change.
const HALVES: [&str; 2] = [".lora_a", ".lora_b"];

/// A sound adapter file.
pub(super) struct AdapterFile {
    pairs: Vec<Pair>,
    alpha: f64,
}

struct Pair {
    weight: Weight,
    rank: usize,
    down: TensorInfo,
    up: TensorInfo,
}

fn wrong(problem: String) -> EngineError {
    EngineError::Adapter { problem }
}

impl AdapterFile {
    /// Reads the table and checks every shape against the graph's.
    pub(super) fn read(source: &dyn ByteSource, architecture: &str, graph: &Graph) -> Result<Self, EngineError> {
        let gguf = Gguf::read(source)?;
        let metadata = &gguf.metadata;
        for (key, expected) in
            [("general.type", "adapter"), ("adapter.type", "lora"), ("general.architecture", architecture)]
        {
            let found = metadata.text_if_present(key)?.unwrap_or_default();
            if found != expected {
                return Err(wrong(format!("its `{key}` is `{found}`, and this model needs `{expected}`")));
            }
        }
        if metadata.get("adapter.alora.invocation_tokens").is_some() {
            return Err(wrong("it takes effect after certain tokens only, which is not supported".to_owned()));
        }
        let alpha = metadata.float_if_present("adapter.lora.alpha")?.unwrap_or(0.0);
        if !alpha.is_finite() {
            return Err(wrong(format!("its `adapter.lora.alpha` {alpha} is not a number")));
        }
        let mut halves: BTreeMap<&str, [Option<&TensorInfo>; 2]> = BTreeMap::new();
        for tensor in &gguf.tensors {
            let half = HALVES.iter().position(|suffix| tensor.name.ends_with(suffix)).ok_or_else(|| {
                wrong(format!("tensor `{}` is no half of a low-rank change of a matrix", tensor.name))
            })?;
            let name = &tensor.name[..tensor.name.len() - HALVES[half].len()];
            halves.entry(name).or_default()[half] = Some(tensor);
        }
        if halves.is_empty() {
            return Err(wrong("it changes nothing; the file holds no tensors".to_owned()));
        }
        let pairs = halves.iter().map(|(name, halves)| pair(graph, name, *halves)).collect::<Result<_, _>>()?;
        Ok(Self { pairs, alpha })
    }

    /// The changes, read one at a time.
    pub(super) fn parts<'a>(
        &'a self,
        source: &'a dyn ByteSource,
    ) -> impl Iterator<Item = Result<LowRank, BackendError>> + 'a {
        self.pairs.iter().map(move |pair| {
            let scale = if self.alpha == 0.0 { 1.0 } else { self.alpha / pair.rank as f64 };
            let down = values(source, &pair.down)?;
            let mut up = values(source, &pair.up)?;
            for value in &mut up {
                *value = (f64::from(*value) * scale) as f32;
            }
            Ok(LowRank { weight: pair.weight, rank: pair.rank, down, up })
        })
    }
}

fn pair(graph: &Graph, name: &str, halves: [Option<&TensorInfo>; 2]) -> Result<Pair, EngineError> {
    let [Some(down), Some(up)] = halves else {
        return Err(wrong(format!("of `{name}` it holds one half only; the file is incomplete")));
    };
    let index = graph.weights.iter().position(|weight| weight.name == name);
    let index = index.ok_or_else(|| wrong(format!("the model has no tensor `{name}`; it is for another model")))?;
    let looked_up = |op: &Op| matches!(op, Op::Embed { table, .. } if table.0 == index);
    let multiplied = |op: &Op| matches!(op, Op::MatMul { weight, .. } if weight.0 == index);
    if graph.ops.iter().any(looked_up) || !graph.ops.iter().any(multiplied) {
        return Err(wrong(format!("it changes `{name}`, which is no plain product; only those can be changed")));
    }
    let rank = down.rows();
    let weight = &graph.weights[index];
    let found = (down.columns(), up.rows(), up.columns());
    if found != (weight.columns as u64, weight.rows as u64, rank) {
        return Err(wrong(format!(
            "`{name}` is {} rows of {} in the model, and the halves are {rank} rows of {} and {} rows of {}; it is for \
             another model",
            weight.rows,
            weight.columns,
            down.columns(),
            up.rows(),
            up.columns()
        )));
    }
    let most = MAX_RANK.min(weight.rows as u64).min(weight.columns as u64);
    if rank == 0 || rank > most {
        return Err(wrong(format!("the rank {rank} of `{name}` is not between 1 and {most}")));
    }
    Ok(Pair { weight: Weight(index), rank: rank as usize, down: down.clone(), up: up.clone() })
}

/// A whole tensor. Its size was checked against the file's when the table was read, and its shape against the
/// graph's.
fn values(source: &dyn ByteSource, tensor: &TensorInfo) -> Result<Vec<f32>, BackendError> {
    let purpose = || format!("tensor `{}`", tensor.name);
    let elements = tensor.columns() * tensor.rows();
    let mut bytes = zeroed(tensor.size, 0u8).ok_or_else(|| full(tensor.size, purpose()))?;
    source.read_at(tensor.offset, &mut bytes)?;
    let mut values = zeroed(elements, 0f32).ok_or_else(|| full(elements.saturating_mul(4), purpose()))?;
    dequantize(tensor.data_type, &bytes, &mut values)
        .map_err(|error| BackendError::Tensor { name: tensor.name.clone(), problem: error.to_string() })?;
    Ok(values)
}

fn full(bytes: u64, purpose: String) -> BackendError {
    BackendError::OutOfMemory { bytes, purpose }
}

fn zeroed<T: Copy>(length: u64, value: T) -> Option<Vec<T>> {
    let length = usize::try_from(length).ok()?;
    let mut items = Vec::new();
    items.try_reserve_exact(length).ok()?;
    items.resize(length, value);
    Some(items)
}
