//! Malformed GGUF files: each must give one error that says what is wrong and where.

mod report;

use nearside_gguf::{ByteSource, DataType, Gguf, GgufError, SourceError, Value, Writer};
use report::{Random, Report, seed};

const TEXT: u32 = 8;
const ARRAY: u32 = 9;

fn read(bytes: &[u8]) -> Result<Gguf, GgufError> {
    Gguf::read(&bytes)
}

/// A file from its counts and the raw bytes that follow.
fn file(tensors: u64, keys: u64, body: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(keys.to_le_bytes());
    bytes.extend(body.concat());
    bytes
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(name.as_bytes()), kind.to_le_bytes().as_slice(), value].concat()
}

fn array(name: &str, element: u32, count: u64, values: &[u8]) -> Vec<u8> {
    key(name, ARRAY, &[&element.to_le_bytes(), count.to_le_bytes().as_slice(), values].concat())
}

fn tensor(name: &[u8], dimensions: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend((dimensions.len() as u32).to_le_bytes());
    bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

/// A file of those tensor entries and a kilobyte of data.
fn table(entries: &[Vec<u8>]) -> Vec<u8> {
    file(entries.len() as u64, 0, &[&entries.concat(), &[0; 1024]])
}

fn small() -> Vec<u8> {
    Writer::new()
        .metadata("general.architecture", Value::Text("llama".to_owned()))
        .metadata("llama.block_count", Value::Unsigned(2))
        .metadata("llama.rope.freq_base", Value::Float(10_000.5))
        .metadata("negative", Value::Signed(-7))
        .metadata("flag", Value::Bool(true))
        .metadata("tokens", Value::TextArray(vec!["a", "", "ü🙂"].into()))
        .metadata("scores", Value::FloatArray(vec![0.5, -1.0]))
        .metadata("types", Value::SignedArray(vec![1, -1]))
        .metadata("flags", Value::BoolArray(vec![true, false]))
        .metadata("numbers", Value::UnsignedArray(vec![1, u64::MAX]))
        .tensor("a.weight", DataType::F32, &[3, 2], &[1; 24])
        .tensor("b.weight", DataType::Q8_0, &[32, 1, 2], &[2; 68])
        .finish()
}

#[test]
fn malformed_files_give_one_clear_error() {
    let mut report = Report::new("gguf");
    let mut count = 0;
    let mut refuses = |name: &str, expected: &str, bytes: Vec<u8>| {
        seed("gguf", count, &bytes);
        count += 1;
        report.refuses(name, expected, bytes.len(), || read(&bytes));
    };
    seed("gguf", usize::MAX, &small());

    refuses("nothing", "begins with nothing", vec![]);
    refuses("text", "begins with \"Hell\"", b"Hello, world".to_vec());
    refuses("short text", "begins with \"H\"", b"H".to_vec());
    refuses("page", "begins with \"<!do\"", b"<!doctype html>".to_vec());
    refuses("binary", "begins with \"\\x00\\xff", vec![0, 0xff, 0, 1]);
    refuses("half a magic number", "truncated", b"GG".to_vec());
    refuses("version 0", "GGUF version 0", b"GGUF\0\0\0\0".to_vec());
    refuses("version 1", "GGUF version 1", b"GGUF\x01\0\0\0".to_vec());
    refuses("version 4", "GGUF version 4", b"GGUF\x04\0\0\0".to_vec());
    refuses("big endian", "big-endian", b"GGUF\0\0\0\x03".to_vec());

    // What is one more than 2^32 is one again where a pointer has 32 bits.
    let counts = [
        ("-1", u64::MAX),
        ("2^63", 1 << 63),
        ("2^40", 1 << 40),
        ("2^31", 1 << 31),
        ("2^61", 1 << 61),
        ("2^32 + 1", (1 << 32) + 1),
    ];
    for (name, count) in counts {
        refuses(&format!("{name} tensors"), "the number of tensors at byte offset 8", file(count, 0, &[]));
        refuses(&format!("{name} keys"), "the number of metadata keys at byte offset 16", file(0, count, &[]));
        let length = count.to_le_bytes();
        refuses(
            &format!("key of {name} bytes"),
            "the length of a metadata key at byte offset 24",
            file(0, 1, &[&length, &[0; 64]]),
        );
        let value = key("k", TEXT, &length);
        refuses(&format!("text of {name} bytes"), "metadata key `k`", file(0, 1, &[&value]));
        let value = array("k", 4, count, &[]);
        refuses(&format!("array of {name}"), "the length of the array `k`", file(0, 1, &[&value]));
        let value = array("k", TEXT, 1, &length);
        refuses(&format!("array's text of {name} bytes"), "metadata key `k`", file(0, 1, &[&value]));
        refuses(
            &format!("tensor name of {name} bytes"),
            "the length of a tensor's name",
            file(1, 0, &[&length, &[0; 64]]),
        );
    }
    refuses("more tensors than bytes", "ends inside the number of tensors", file(1000, 0, &[]));
    refuses("more keys than bytes", "ends inside the number of metadata keys", file(0, 1000, &[]));
    refuses(
        "array longer than the file",
        "ends inside the length of the array",
        file(0, 1, &[&array("k", 0, 4_000_000, &[])]),
    );

    let number = key("k", 4, &[0; 4]);
    refuses("empty key", "a metadata key at byte offset 24 is empty", file(0, 1, &[&key("", 4, &[0; 4])]));
    refuses("long key", "the length of a metadata key", file(0, 1, &[&key(&"k".repeat(70_000), 4, &[0; 4])]));
    refuses("key of other bytes", "is not UTF-8", file(0, 1, &[&text(b"\xff\xfe"), &[0; 8]]));
    refuses("key twice", "`k` appears a second time at byte offset 41", file(0, 2, &[&number, &number]));
    refuses("value type 13", "unknown value type 13", file(0, 1, &[&key("k", 13, &[0; 8])]));
    refuses("value type -1", "unknown value type 4294967295", file(0, 1, &[&key("k", u32::MAX, &[0; 8])]));
    refuses("array of type 13", "unknown value type 13", file(0, 1, &[&array("k", 13, 1, &[0; 8])]));
    refuses("array of arrays", "array of arrays", file(0, 1, &[&array("k", ARRAY, 1, &[0; 32])]));
    refuses("boolean 2", "holds the byte 2", file(0, 1, &[&key("k", 7, &[2])]));
    refuses("boolean 2 in an array", "holds the byte 2", file(0, 1, &[&array("k", 7, 2, &[1, 2])]));
    let bytes = vec![0; 1 << 20];
    let many: Vec<Vec<u8>> = (0..9).map(|index| array(&index.to_string(), 0, bytes.len() as u64, &bytes)).collect();
    refuses("arrays that grow in memory", "bytes of memory", file(0, 9, &[&many.concat()]));

    for alignment in [0u32, 3, 24, 33, 1 << 31, u32::MAX] {
        let value = key("general.alignment", 4, &alignment.to_le_bytes());
        refuses(&format!("alignment {alignment}"), "`general.alignment` is", file(0, 1, &[&value]));
    }
    let negative = key("general.alignment", 5, &(-32i32).to_le_bytes());
    refuses("negative alignment", "holds a signed integer", file(0, 1, &[&negative]));
    refuses("alignment in words", "holds a text", file(0, 1, &[&key("general.alignment", TEXT, &text(b"32"))]));

    refuses("no dimensions", "has 0 dimensions", table(&[tensor(b"t", &[], 0, 0)]));
    refuses("five dimensions", "has 5 dimensions", table(&[tensor(b"t", &[1; 5], 0, 0)]));
    let endless = [text(b"t"), u32::MAX.to_le_bytes().to_vec(), vec![0; 64]].concat();
    refuses("2^32 dimensions", "has 4294967295 dimensions", table(&[endless]));
    refuses("dimension 0", "impossible shape [4, 0]", table(&[tensor(b"t", &[4, 0], 0, 0)]));
    refuses("elements wrap", "impossible shape", table(&[tensor(b"t", &[1 << 32, 1 << 32], 0, 0)]));
    refuses("elements wrap to few", "impossible shape", table(&[tensor(b"t", &[(1 << 63) + 2, 2], 0, 0)]));
    refuses("bytes wrap", "impossible shape", table(&[tensor(b"t", &[1 << 62], 0, 0)]));
    refuses("negative dimension", "impossible shape", table(&[tensor(b"t", &[u64::MAX], 0, 0)]));
    refuses("part of a block", "blocks of 32", table(&[tensor(b"t", &[33], 8, 0)]));
    refuses("removed type", "stored as type 4", table(&[tensor(b"t", &[32], 4, 0)]));
    refuses("unknown type", "use a file quantized to one of F32, F16", table(&[tensor(b"t", &[32], 9999, 0)]));
    refuses("unaligned offset", "expected a multiple of 32", table(&[tensor(b"t", &[4], 0, 8)]));
    refuses("overlap", "`a` and `b` overlap", table(&[tensor(b"b", &[4], 0, 32), tensor(b"a", &[9], 0, 0)]));
    refuses("same bytes", "overlap", table(&[tensor(b"b", &[4], 0, 0), tensor(b"a", &[4], 0, 0)]));
    refuses("data beyond the end", "the file has", table(&[tensor(b"t", &[4], 0, 4096)]));
    refuses("data longer than the file", "the file has", table(&[tensor(b"t", &[1 << 40], 0, 0)]));
    refuses("offset that wraps", "the file has", table(&[tensor(b"t", &[4], 0, u64::MAX - 31)]));
    refuses("tensor twice", "`t` appears a second time", table(&[tensor(b"t", &[4], 0, 0), tensor(b"t", &[4], 0, 32)]));
    refuses("tensor without a name", "a tensor's name at byte offset 24 is empty", table(&[tensor(b"", &[4], 0, 0)]));
    refuses("tensor of a long name", "the length of a tensor's name", table(&[tensor(&[b't'; 300], &[4], 0, 0)]));
    refuses("tensor of other bytes", "is not UTF-8", table(&[tensor(b"\xc3\x28", &[4], 0, 0)]));

    report.finish();
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = small();
    read(&whole).unwrap();
    let mut report = Report::new("truncation");
    for length in 0..whole.len() {
        let name = format!("cut at {length}");
        report.refuses(&name, "", length, || read(&whole[..length]));
        // A header in a long file that is all one byte after the cut is no better.
        let mut padded = whole[..length].to_vec();
        padded.resize(1 << 16, 0xff);
        report.run(&name, padded.len(), || read(&padded));
    }
    report.finish();
}

#[test]
fn flipped_bytes_never_panic() {
    let whole = small();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut report = Report::new("gguf flips");
    for case in 0..6000 {
        let bytes = random.damaged(&whole);
        report.run(&format!("flip {case}"), bytes.len(), || {
            let file = read(&bytes)?;
            for tensor in &file.tensors {
                assert!(tensor.offset + tensor.size <= bytes.len() as u64);
                assert_eq!(file.tensor(&tensor.name), Some(tensor));
                assert!(tensor.columns() * tensor.rows() > 0);
            }
            Ok::<_, GgufError>(())
        });
    }
    report.finish();
}

/// A file of nearly 2^64 bytes, zero after its header.
struct Endless(Vec<u8>);

impl ByteSource for Endless {
    fn len(&self) -> u64 {
        u64::MAX
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        for (place, byte) in (offset..).zip(buffer) {
            *byte = usize::try_from(place).ok().and_then(|place| self.0.get(place)).copied().unwrap_or(0);
        }
        Ok(())
    }
}

#[test]
fn a_file_of_any_length_bounds_what_is_held() {
    // A file without an end bears out any count, so what is held is bounded by what the reader accepts at all.
    let mut report = Report::new("endless files").holding(160 << 20);
    let cases = [
        ("endless keys", file(0, 60_000, &[]), "is empty"),
        ("endless texts", file(0, 1, &[&array("k", TEXT, 4_000_000, &[])]), ""),
        (
            "text past i32",
            file(0, 1, &[&array("tokenizer.ggml.tokens", TEXT, 1, &(1u64 << 31).to_le_bytes())]),
            "metadata key",
        ),
        ("endless text", file(0, 1, &[&key("k", TEXT, &(16u64 << 20).to_le_bytes())]), ""),
        ("tensor near the end", file(1, 0, &[&tensor(b"t", &[32], 0, u64::MAX - 95)]), "the file has"),
    ];
    for (name, bytes, expected) in cases {
        let source = Endless(bytes);
        if expected.is_empty() {
            report.run(name, 1 << 20, || Gguf::read(&source));
        } else {
            report.refuses(name, expected, 1 << 20, || Gguf::read(&source));
        }
    }
    report.finish();
}

struct Broken;

impl ByteSource for Broken {
    fn len(&self) -> u64 {
        1 << 20
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        Err(SourceError::Io { offset, length: buffer.len() as u64, reason: "the disk is gone".to_owned() })
    }
}

#[test]
fn a_failing_disk_is_named() {
    assert!(Gguf::read(&Broken).unwrap_err().to_string().contains("the disk is gone"));
}
