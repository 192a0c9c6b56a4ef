//! Prints how fast each kernel is, beside what the machine can do at most.
//!
//! `cargo run --release -p nearside-cpu --example kernels -- [--limits] [THREADS] [FORMAT...]` natively, and in
//! Chromium `cargo xtask bench kernels [FORMAT...]`. With `--limits` nothing but what the machine can do, as JSON.

use std::time::Instant;

use nearside_cpu::benchmark::{instruction_set, kernel, limits};
use nearside_cpu::pool::Pool;
use nearside_gguf::DataType;

const USUAL: [DataType; 6] =
    [DataType::Q4_1, DataType::Q8_0, DataType::Q4K, DataType::Q6K, DataType::Q5_0, DataType::Iq4Nl];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let only_limits = arguments.next_if(|argument| argument == "--limits").is_some();
    let threads = arguments.next_if(|argument| argument.parse::<usize>().is_ok()).map_or(Ok(1), |text| text.parse())?;
    let names: Vec<_> = arguments.collect();
    let chosen: Vec<_> = if names.is_empty() {
        USUAL.to_vec()
    } else {
        DataType::ALL.iter().copied().filter(|format| names.iter().any(|name| name == format.name())).collect()
    };

    let begin = Instant::now();
    let clock = || begin.elapsed().as_secs_f64();
    let pool = Pool::new(threads);
    let limits = limits(&pool, &clock)?;
    if only_limits {
        println!(r#"{{"giga_products":{},"giga_bytes":{}}}"#, limits.giga_products, limits.giga_bytes);
        return Ok(());
    }
    println!(
        "{}, {} threads: at most {:.1} GMAC/s, {:.1} GB/s",
        instruction_set(),
        pool.threads(),
        limits.giga_products,
        limits.giga_bytes
    );
    for format in chosen {
        // A feed-forward of 1.5B, and matrices of a small model, which caches hold.
        for (rows, columns, inputs) in [(8960, 1536, 1), (1536, 1536, 1), (8960, 1536, 128), (1536, 576, 128)] {
            let columns = if columns % format.block_elements() == 0 { columns } else { 512 };
            let figure = kernel(&pool, format, (rows, columns, inputs), &clock, 0.4)?;
            println!(
                "{:7} {rows:5} x {columns:4} x {inputs:3}: {:9.1} us {:6.1} GMAC/s ({:3.0}%) {:5.1} GB/s ({:3.0}%), {:.3} of the stored size",
                figure.format,
                figure.seconds * 1e6,
                figure.giga_products(),
                100.0 * figure.giga_products() / limits.giga_products,
                figure.giga_bytes(),
                100.0 * figure.giga_bytes() / limits.giga_bytes,
                figure.held_bytes as f64 / figure.stored_bytes as f64,
            );
        }
    }
    Ok(())
}
