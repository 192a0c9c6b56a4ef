//! How long a file's vocabulary takes to load, and the most memory the process held: give it a GGUF file.

use std::fs::File;
use std::time::{Duration, Instant};

use nearside_gguf::{FileBytes, Gguf};
use nearside_text::{SpecialTokens, Tokenizer};

/// The best of so many loads is what loading takes; the others waited for something else.
const LOADS: usize = 5;

/// A line of the kernel's account of this process, where there is one.
fn memory(line: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap_or("unknown");
    found.trim().to_owned()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: load FILE.gguf")?;
    let source = FileBytes::new(File::open(path)?)?;
    let before = memory("VmRSS:");
    let (mut read, mut built) = (Duration::MAX, Duration::MAX);
    let mut tokenizer = None;
    for _ in 0..LOADS {
        drop(tokenizer.take());
        let start = Instant::now();
        let header = Gguf::read(&source)?;
        read = read.min(start.elapsed());
        let start = Instant::now();
        tokenizer = Some(Tokenizer::from_metadata(&header.metadata)?);
        built = built.min(start.elapsed());
    }
    let tokenizer = tokenizer.ok_or("nothing was loaded")?;
    println!("{} tokens: header {read:.1?}, tokenizer {built:.1?}, together {:.1?}", tokenizer.size(), read + built);
    if cfg!(not(target_family = "wasm")) {
        println!(
            "resident {before} before, {} at most, {} with the header dropped",
            memory("VmHWM:"),
            memory("VmRSS:")
        );
    }
    let text = "The committee met on Tuesday, argued for 3 hours about parking.\n日本語も少し🙂 ".repeat(10_000);
    let start = Instant::now();
    let ids = tokenizer.encode(&text, SpecialTokens::default())?;
    let taken = start.elapsed();
    let rate = text.len() as f64 / taken.as_secs_f64() / 1e6;
    println!("encoded {} bytes into {} tokens in {taken:.1?}, {rate:.1} MB/s", text.len(), ids.len());
    Ok(())
}
