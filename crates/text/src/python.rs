//! What templates written for Python's Jinja expect of their surroundings.

use std::io;
use std::sync::Arc;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::limits::{Meter, refusal};

/// Marks an error that the template itself raised.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

pub(crate) fn install(environment: &mut Environment<'static>) {
    environment.add_function("raise_exception", raise_exception);
    // Nothing cannot be gone through, but what is not defined can, as if it were empty.
    environment.add_test("iterable", |value: &Value| value.kind() != ValueKind::None && value.try_iter().is_ok());
}

fn raise_exception(reason: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, reason.clone()).with_source(Raised(reason)))
}

/// What the template said when it refused, if that is what the error is.
pub(crate) fn raised(error: &Error) -> Option<String> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(raised) = error.downcast_ref::<Raised>() {
            return Some(raised.0.clone());
        }
        source = error.source();
    }
    None
}

/// Makes `tojson` known, whose results `meter` counts.
pub(crate) fn install_json(environment: &mut Environment<'static>, meter: &Arc<Meter>) {
    let meter = Arc::clone(meter);
    environment.add_filter("tojson", move |value: &Value, options: Kwargs| to_json(value, &options, &meter));
}

/// Python's `json.dumps` of a value that is JSON already.
pub(crate) fn dumps(value: &serde_json::Value) -> String {
    let layout = Layout::new(None, ", ", ": ");
    let mut bytes = Vec::new();
    // Writing JSON into memory cannot fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, layout));
    String::from_utf8(bytes).unwrap_or_default()
}

/// Python's `json.dumps`: a space after each comma and colon unless told otherwise, nothing escaped for HTML.
fn to_json(value: &Value, options: &Kwargs, meter: &Meter) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let mut layout = match separators.as_deref() {
        None => Layout::new(indent, if indent.is_some() { "," } else { ", " }, ": "),
        Some([item, key]) => Layout::new(indent, item, key),
        Some(_) => return Err(refusal("tojson's separators are not two texts")),
    };
    layout.ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let mut out = Bounded { bytes: Vec::new(), limit: meter.value() };
    let written = if options.get::<Option<bool>>("sort_keys")?.unwrap_or(false) {
        let sorted = serde_json::to_value(value).map(sorted);
        sorted.and_then(|value| value.serialize(&mut Serializer::with_formatter(&mut out, layout)))
    } else {
        value.serialize(&mut Serializer::with_formatter(&mut out, layout))
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    options.assert_all_used()?;
    meter.hold(out.bytes.len())?;
    String::from_utf8(out.bytes).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Refuses to hold more than it may.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::Error::other("it is longer than a template needs"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same value with the keys of all its objects in order.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Array(values) => values.into_iter().map(sorted).collect(),
        serde_json::Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            pairs.sort_by(|one, two| one.0.cmp(&two.0));
            serde_json::Value::Object(pairs.into_iter().collect())
        }
        other => other,
    }
}

/// How the JSON is laid out.
struct Layout {
    ascii: bool,
    /// One level of indentation, where each item has a line of its own.
    indent: Option<String>,
    /// What follows an item that another follows.
    item: String,
    /// What follows a key.
    key: String,
    depth: usize,
    /// Whether the innermost list or object holds nothing so far.
    empty: bool,
}

impl Layout {
    fn new(indent: Option<usize>, item: &str, key: &str) -> Self {
        let indent = indent.map(|width| " ".repeat(width.min(16)));
        Self { ascii: false, indent, item: item.to_owned(), key: key.to_owned(), depth: 0, empty: false }
    }

    fn line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(indent.as_bytes()))
    }

    fn open<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !std::mem::take(&mut self.empty) {
            self.line(writer)?;
        }
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.line(writer)
    }
}

impl Formatter for Layout {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.empty = false;
        Ok(())
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.empty = false;
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if !self.ascii || fragment.is_ascii() {
            return writer.write_all(fragment.as_bytes());
        }
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit).ok().filter(u8::is_ascii) {
                Some(byte) => writer.write_all(&[byte])?,
                None => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}
