//! Prints what a step of several rows costs beside a step of one, which is what checking foreseen tokens takes.
//!
//! `cargo run --release -p nearside-cpu --example steps -- FILE [THREADS] [ROUNDS] [ROWS...]`

use std::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Instant;

use nearside_cpu::CpuBackend;
use nearside_engine::architectures;
use nearside_engine::backend::{
    Backend, CacheFormat, Executor, ExecutorOptions, MAX_CHOICES, SampleRule, Step, StepInput, Want, WeightFile,
};
use nearside_gguf::{ByteSource, Gguf, SourceError};

/// Positions that are filled before the steps.
const PAST: usize = 256;
const GREEDY: SampleRule = SampleRule { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, draw: 0.0 };

struct ModelFile(Mutex<File>, u64);

impl ByteSource for ModelFile {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer)).map_err(|error| SourceError::Io {
            offset,
            length: buffer.len() as u64,
            reason: error.to_string(),
        })
    }
}

fn run(executor: &mut dyn Executor, step: Step<'_>) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let ticket = executor.submit(step)?;
    pollster::block_on(executor.collect(ticket))?;
    Ok(start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("a model file is expected")?;
    let mut number = |usual: usize| arguments.next().map_or(Ok(usual), |text| text.parse());
    let (threads, rounds) = (number(1)?, number(7)?);
    let mut counts = arguments.map(|text| text.parse()).collect::<Result<Vec<usize>, _>>()?;
    if counts.is_empty() {
        counts = vec![1, 2, 3, 4, 6, 8, 12, 16, PAST];
    }

    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let bytes = ModelFile(Mutex::new(file), length);
    let gguf = Gguf::read(&bytes)?;
    let (_, graph) = architectures::build(&gguf, &bytes, 2 * PAST)?;
    let options =
        ExecutorOptions { context: 2 * PAST, batch: PAST, choices: MAX_CHOICES, cache: CacheFormat::default() };
    let weights = WeightFile { gguf: &gguf, bytes: &bytes };
    let mut progress = |_, _| ControlFlow::Continue(());
    let backend = CpuBackend::with_threads(threads);
    let mut executor = pollster::block_on(backend.load(&graph, weights, options, &mut progress))?;

    let tokens: Vec<u32> = (0..PAST as u32).map(|index| (index * 7919 + 17) % graph.vocabulary as u32).collect();
    let cache = executor.create_cache()?;
    run(executor.as_mut(), Step { cache, position: 0, input: StepInput::Tokens(&tokens), want: Want::Nothing })?;
    let mut times = vec![Vec::new(); counts.len()];
    for _ in 0..rounds {
        // In turns, so that what else the machine does strikes all alike.
        for (&rows, times) in counts.iter().zip(&mut times) {
            let rules = vec![GREEDY; if rows > MAX_CHOICES { 1 } else { rows }];
            let (input, want) = (StepInput::Tokens(&tokens[..rows]), Want::Sample(&rules, 2));
            times.push(run(executor.as_mut(), Step { cache, position: PAST, input, want })?);
        }
    }
    println!(
        "{}, {threads} threads, {PAST} positions before, median (least) of {rounds}",
        nearside_cpu::benchmark::instruction_set()
    );
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let one = median(&mut times[0]);
    for (&rows, times) in counts.iter().zip(&mut times) {
        let middle = median(times);
        println!(
            "{rows:3} rows: {:8.2} ms ({:8.2}), {:5.2} of one row's, {:7.1} rows a second, {:5.2} times as many",
            middle * 1e3,
            times[0] * 1e3,
            middle / one,
            rows as f64 / middle,
            rows as f64 * one / middle,
        );
    }
    Ok(())
}
