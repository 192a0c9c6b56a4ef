//! How fast the kernels are here, beside what the machine can do at most.

use std::ops::ControlFlow;

use nearside_engine::backend::BackendError;
use nearside_gguf::{DataType, TensorInfo};

use crate::matrix::{Rooms, read};
use crate::memory::zeroed;
use crate::pool::Pool;
use crate::simd::{Isa, LINE, Line, lines_as_bytes};

/// One kernel's speed.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelFigure {
    /// How the weights are stored in a file.
    pub format: &'static str,
    /// Output features.
    pub rows: usize,
    /// Input features.
    pub columns: usize,
    /// Rows of inputs that are multiplied at a time: 1 while an answer is written.
    pub inputs: usize,
    /// The shortest time of one product.
    pub seconds: f64,
    /// Bytes of weights that one product reads.
    pub held_bytes: usize,
    /// Bytes that the file stores them in.
    pub stored_bytes: usize,
}

impl KernelFigure {
    /// Thousand millions of products and sums a second.
    pub fn giga_products(&self) -> f64 {
        (self.rows * self.columns * self.inputs) as f64 / self.seconds / 1e9
    }

    /// Thousand millions of bytes of weights a second.
    pub fn giga_bytes(&self) -> f64 {
        self.held_bytes as f64 / self.seconds / 1e9
    }
}

/// What no kernel can exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Thousand millions of products and sums of bytes a second, when nothing is read.
    pub giga_products: f64,
    /// Thousand millions of bytes read a second, from more memory than caches hold.
    pub giga_bytes: f64,
}

/// Runs something for about so many seconds and tells how long each time took, the shortest first.
fn times(clock: &dyn Fn() -> f64, seconds: f64, mut run: impl FnMut()) -> Vec<f64> {
    run();
    let begin = clock();
    let mut times = Vec::new();
    loop {
        let start = clock();
        run();
        let end = clock();
        times.push(end - start);
        if end - begin > seconds {
            times.sort_by(f64::total_cmp);
            return times;
        }
    }
}

/// The shortest time: a kernel's own, whatever else the machine had to do.
fn shortest(clock: &dyn Fn() -> f64, seconds: f64, run: impl FnMut()) -> f64 {
    times(clock, seconds, run)[0]
}

/// The usual time: what several can have at once.
fn usual(clock: &dyn Fn() -> f64, seconds: f64, run: impl FnMut()) -> f64 {
    let times = times(clock, seconds, run);
    times[times.len() / 2]
}

/// The name of the instruction set that the kernels use here.
pub fn instruction_set() -> &'static str {
    Isa::find().name()
}

/// Measures the machine with all threads of a pool. `clock` tells seconds.
pub fn limits(pool: &Pool, clock: &dyn Fn() -> f64) -> Result<Limits, BackendError> {
    const ROUNDS: usize = 100_000;
    let isa = Isa::find();
    let lines = zeroed((256 << 20) / LINE, Line::ZERO, || "a measurement".to_owned())?;
    let part = lines.len() / (pool.threads() * 8);
    let stream = usual(clock, 1.0, || {
        pool.for_each_part(pool.threads() * 8, &|index| {
            std::hint::black_box(isa.stream(lines_as_bytes(&lines[index * part..(index + 1) * part])));
        });
    });
    let mut products = 0;
    let peak = usual(clock, 1.0, || {
        products = isa.peak(1);
        pool.for_each_part(pool.threads(), &|_| {
            std::hint::black_box(isa.peak(ROUNDS));
        });
    });
    Ok(Limits {
        giga_products: (products * ROUNDS * pool.threads()) as f64 / peak / 1e9,
        giga_bytes: (part * pool.threads() * 8 * LINE) as f64 / stream / 1e9,
    })
}

/// Measures one product for about so many seconds.
pub fn kernel(
    pool: &Pool,
    data_type: DataType,
    (rows, columns, inputs): (usize, usize, usize),
    clock: &dyn Fn() -> f64,
    seconds: f64,
) -> Result<KernelFigure, BackendError> {
    let purpose = || "a measurement".to_owned();
    let stored_bytes = rows * (columns / data_type.block_elements()) * data_type.block_bytes();
    let mut bytes = zeroed(stored_bytes, 0u8, purpose)?;
    for (index, byte) in bytes.iter_mut().enumerate() {
        // Half floats of such bytes are finite.
        *byte = (index * 37) as u8 & 0xbf;
    }
    let tensor = TensorInfo {
        name: "a measured matrix".to_owned(),
        dimensions: vec![columns as u64, rows as u64],
        data_type,
        offset: 0,
        size: stored_bytes as u64,
    };
    let matrix = read(pool, &tensor, &bytes.as_slice(), &mut |_| ControlFlow::Continue(()))?;
    drop(bytes);
    let values: Vec<f32> = (0..inputs * columns).map(|index| ((index * 31 % 97) as f32 - 48.0) / 48.0).collect();
    let mut outputs = zeroed(inputs * rows, 0.0, purpose)?;
    let mut rooms = Rooms::default();
    let mut result = Ok(());
    let seconds = shortest(clock, seconds, || {
        rooms.forget_inputs();
        let once = matrix.multiply(pool, &mut rooms, &values, &mut outputs);
        if result.is_ok() {
            result = once;
        }
    });
    result?;
    let held_bytes = matrix.bytes();
    Ok(KernelFigure { format: data_type.name(), rows, columns, inputs, seconds, held_bytes, stored_bytes })
}
