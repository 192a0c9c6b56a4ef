//! Loads a model's weights into memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_engine::backend::{
    Backend, BackendDescription, BackendError, BackendKind, Executor, ExecutorOptions, LoadProgress, WeightFile,
};
use nearside_engine::graph::{Graph, Op};

use crate::executor::{CpuExecutor, Held};
use crate::lookup::Lookup;
use crate::matrix;
use crate::memory::zeroed;
use crate::pool::Pool;
use crate::simd::Isa;

/// Runs models on the processor, its work spread over the threads of a [`Pool`].
#[derive(Debug)]
pub struct CpuBackend {
    pool: Arc<Pool>,
}

impl CpuBackend {
    /// As many threads as the machine has; one in a page, where only the page knows how many it started.
    pub fn new() -> Self {
        Self { pool: Arc::new(Pool::for_this_machine()) }
    }

    /// So many threads, the caller among them; see [`Pool::new`].
    pub fn with_threads(threads: usize) -> Self {
        Self { pool: Arc::new(Pool::new(threads)) }
    }
}

impl Default for CpuBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for CpuBackend {
    fn describe(&self) -> BackendDescription {
        let features = vec![Isa::find().name().to_owned(), format!("{} threads", self.pool.threads())];
        BackendDescription { kind: BackendKind::Cpu, device: std::env::consts::ARCH.to_owned(), features }
    }

    fn load<'a>(
        &'a self,
        graph: &'a Graph,
        file: WeightFile<'a>,
        options: ExecutorOptions,
        progress: &'a mut LoadProgress<'a>,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Executor>, BackendError>> {
        async move { load(&self.pool, graph, &file, options, progress) }.boxed_local()
    }
}

fn load(
    pool: &Arc<Pool>,
    graph: &Graph,
    file: &WeightFile<'_>,
    options: ExecutorOptions,
    progress: &mut LoadProgress<'_>,
) -> Result<Box<dyn Executor>, BackendError> {
    graph.check()?;
    if options.batch == 0 || options.context == 0 {
        return Err(BackendError::InvalidStep { problem: "context and batch must be at least 1".to_owned() });
    }
    let reads = Reads::of(graph);
    let mut tensors = Vec::with_capacity(graph.weights.len());
    for spec in &graph.weights {
        let wrong = |problem: String| BackendError::Tensor { name: spec.name.clone(), problem };
        let tensor = file.gguf.tensor(&spec.name).ok_or_else(|| wrong("it is missing".to_owned()))?;
        if (tensor.rows(), tensor.columns()) != (spec.rows as u64, spec.columns as u64) {
            return Err(wrong(format!(
                "it is {} rows of {}, {} of {} expected",
                tensor.rows(),
                tensor.columns(),
                spec.rows,
                spec.columns
            )));
        }
        tensors.push(tensor);
    }
    let total = tensors.iter().map(|tensor| tensor.size).sum();
    let mut done = 0;
    let mut advance = |bytes: u64| -> ControlFlow<()> {
        done += bytes;
        progress(done, total)
    };
    let mut weights = Vec::with_capacity(tensors.len());
    let mut held = 0;
    for ((tensor, spec), reads) in tensors.into_iter().zip(&graph.weights).zip(reads) {
        if reads == Reads::Rows
            && let Some(bytes) = file.bytes.lasting()
        {
            weights.push(Held::Lookup(Lookup::new(tensor, bytes)?));
            if advance(tensor.size).is_break() {
                return Err(BackendError::Cancelled);
            }
            continue;
        }
        let matrix = matrix::read(pool, tensor, file.bytes, &mut advance)?;
        held += matrix.bytes() as u64;
        weights.push(if reads == Reads::Numbers {
            let mut values = zeroed(spec.columns, 0.0, || format!("tensor `{}`", spec.name))?;
            matrix.expand_row(0, &mut values);
            Held::Vector(values)
        } else {
            Held::Matrix(matrix)
        });
    }
    Ok(Box::new(CpuExecutor::new(Arc::clone(pool), graph.clone(), weights, options, held)?))
}

/// What a weight is to the operations that read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// Something to multiply with.
    Products,
    /// A table of which a few rows are wanted at a time.
    Rows,
    /// Plain numbers.
    Numbers,
}

impl Reads {
    fn of(graph: &Graph) -> Vec<Self> {
        let mut reads = vec![Self::Rows; graph.weights.len()];
        for op in &graph.ops {
            match op {
                Op::RmsNorm { weight, .. } => reads[weight.0] = Self::Numbers,
                Op::MatMul { weight, bias, .. } => {
                    reads[weight.0] = Self::Products;
                    if let Some(bias) = bias {
                        reads[bias.0] = Self::Numbers;
                    }
                }
                _ => {}
            }
        }
        reads
    }
}
