//! How long a file's vocabulary takes to load, and the most memory the process held: give it a GGUF file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use nearside_gguf::{ByteSource, Gguf, SourceError};
use nearside_text::{SpecialTokens, Tokenizer};

struct Disk(File, u64);

impl ByteSource for Disk {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let length = buffer.len() as u64;
        self.0.read_exact_at(buffer, offset).map_err(|error| SourceError::Io {
            offset,
            length,
            reason: error.to_string(),
        })
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
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let before = memory("VmRSS:");
    let start = Instant::now();
    let header = Gguf::read(&Disk(file, length))?;
    let read = start.elapsed();
    let after_read = memory("VmRSS:");
    let start = Instant::now();
    let tokenizer = Tokenizer::from_metadata(&header.metadata)?;
    let built = start.elapsed();
    println!("{} tokens: header {read:.1?}, tokenizer {built:.1?}", tokenizer.size());
    println!("resident {before} before, {after_read} with the header, {} at most", memory("VmHWM:"));
    drop(header);
    println!("resident {} with the header dropped", memory("VmRSS:"));
    let text = "The committee met on Tuesday, argued for 3 hours about parking.\n日本語も少し🙂 ".repeat(10_000);
    let start = Instant::now();
    let ids = tokenizer.encode(&text, SpecialTokens::default())?;
    let taken = start.elapsed();
    let rate = text.len() as f64 / taken.as_secs_f64() / 1e6;
    println!("encoded {} bytes into {} tokens in {taken:.1?}, {rate:.1} MB/s", text.len(), ids.len());
    Ok(())
}
