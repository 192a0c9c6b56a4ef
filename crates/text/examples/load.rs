//! How long a file's vocabulary takes to load, and the most memory the process held: give it a GGUF file.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use nearside_gguf::{ByteSource, Gguf, SourceError};
use nearside_text::{SpecialTokens, Tokenizer};

/// The best of so many loads is what loading takes; the others waited for something else.
const LOADS: usize = 5;

struct Disk(RefCell<File>, u64);

impl ByteSource for Disk {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let length = buffer.len() as u64;
        let mut file = self.0.borrow_mut();
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
        read.map_err(|error| SourceError::Io { offset, length, reason: error.to_string() })
    }
}

/// A line of the kernel's account of this process, where there is one.
fn memory(line: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap_or("unknown");
    found.trim().to_owned()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: load FILE.gguf")?;
    let length = std::fs::metadata(&path)?.len();
    let source = Disk(RefCell::new(File::open(path)?), length);
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
