//! What a template may do: the template engine bounds steps and recursion, this bounds what each step may hold and
//! how much all of them may work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::guard::{BOUNDED, TEXT, TIMES};

/// What one value may hold, in bytes, and how much more for each byte of the conversation.
const VALUE: usize = 64 << 10;
const VALUE_PER_BYTE: usize = 8;
/// What may be written.
const OUTPUT: usize = 1 << 20;
const OUTPUT_PER_BYTE: usize = 16;
/// How many bytes may be read and written on the way.
const WORK: usize = 16 << 20;
const WORK_PER_BYTE: usize = 256;
/// What an element of a list takes, about.
const ELEMENT: usize = 32;
/// How deep lists within lists may go.
const DEPTH: usize = 32;
/// How many places to fill in a text that is a pattern may have.
const FIELDS: usize = 64;

/// The methods that can make much of little.
const METHODS: [&str; 3] = [".replace", ".join", ".format"];

/// Counts what a rendering does, down to nothing left.
pub(crate) struct Meter {
    value: usize,
    output: AtomicUsize,
    work: AtomicUsize,
}

impl Meter {
    /// For a conversation of so many bytes.
    pub(crate) fn new(input: usize) -> Self {
        let scaled = |base: usize, each: usize| base.saturating_add(input.saturating_mul(each));
        Self {
            value: scaled(VALUE, VALUE_PER_BYTE),
            output: AtomicUsize::new(scaled(OUTPUT, OUTPUT_PER_BYTE)),
            work: AtomicUsize::new(scaled(WORK, WORK_PER_BYTE)),
        }
    }

    /// Accounts for text that is printed, whether to the output or into a variable.
    pub(crate) fn print(&self, bytes: usize) -> Result<(), Error> {
        take(&self.output, bytes).ok_or_else(|| ErrorKind::WriteFailure.into())
    }

    /// Accounts for bytes that are read or written.
    fn work(&self, bytes: usize) -> Result<(), Error> {
        take(&self.work, bytes).ok_or_else(|| ErrorKind::OutOfFuel.into())
    }

    /// Accounts for a value that is made.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), Error> {
        if bytes > self.value {
            return Err(refusal("a value would hold more than a template needs"));
        }
        self.work(bytes)
    }

    /// The most bytes that one value may hold.
    pub(crate) fn value(&self) -> usize {
        self.value
    }

    /// Refuses a value that is too large or too deep; as a `member` also one that could come to contain itself.
    fn bounded(&self, value: &Value, member: bool) -> Result<(), Error> {
        let mut left = self.value;
        let mut open = vec![(value.clone(), 0)];
        while let Some((value, depth)) = open.pop() {
            let size = size(&value);
            if size > left {
                return Err(refusal("a variable would hold more than a template needs"));
            }
            left -= size;
            let Some(object) = value.as_object() else { continue };
            if member && object.type_name().ends_with("Namespace") {
                return Err(refusal("a variable would hold a namespace"));
            }
            if depth == DEPTH {
                return Err(refusal("a variable would hold lists too deep in lists"));
            }
            // What has no length is made only when it is asked for, and may be gone after.
            if value.len().is_some()
                && let Ok(items) = value.try_iter()
            {
                for item in items {
                    let inner =
                        if value.kind() == ValueKind::Map { value.get_item(&item).unwrap_or_default() } else { item };
                    open.push((inner, depth + 1));
                }
            }
        }
        self.work(self.value - left)
    }

    /// What a product may be: numbers among themselves always, repetitions as far as values go.
    fn times(&self, one: &Value, two: &Value) -> Result<Value, Error> {
        let (many, count) = if one.is_number() { (two, one) } else { (one, two) };
        if many.is_number() {
            return product(one, two);
        }
        let count =
            count.as_usize().ok_or_else(|| refusal("only numbers can be multiplied, or a text with a number"))?;
        self.hold(size(many).saturating_mul(count))?;
        if let Some(text) = many.as_str() {
            return Ok(Value::from(text.repeat(count)));
        }
        let items: Vec<Value> = many.try_iter()?.collect();
        let mut all = Vec::with_capacity(items.len() * count);
        (0..count).for_each(|_| all.extend_from_slice(&items));
        Ok(Value::from(all))
    }

    /// Refuses what would make much of little, before it is made.
    fn foresee(&self, operation: &str, subject: &Value, arguments: &[Value]) -> Result<(), Error> {
        let text = |at: usize| arguments.get(at).and_then(Value::as_str).unwrap_or_default();
        let length = match (operation, subject.as_str()) {
            ("replace" | ".replace", Some(subject)) => {
                let places = if text(0).is_empty() { subject.len() + 1 } else { subject.matches(text(0)).count() };
                subject.len().saturating_add(places.saturating_mul(text(1).len()))
            }
            (".join", Some(separator)) if !arguments.is_empty() => self.joined(&arguments[0], separator)?,
            ("join", _) => self.joined(subject, text(0))?,
            ("indent", Some(subject)) => {
                let width = arguments.iter().filter_map(Value::as_usize).max().unwrap_or(4);
                subject.len().saturating_add((subject.matches('\n').count() + 1).saturating_mul(width))
            }
            ("format" | ".format", Some(pattern)) => {
                let fields = pattern.matches(['%', '{']).count();
                let wide = pattern.contains('*')
                    || pattern.split(|next: char| !next.is_ascii_digit()).any(|digits| digits.len() > 3);
                if fields > FIELDS || wide {
                    return Err(refusal("a pattern asks for more than a template needs"));
                }
                let largest = arguments.iter().map(size).max().unwrap_or(0);
                pattern.len().saturating_add(fields.saturating_mul(largest.saturating_add(1000)))
            }
            _ => return Ok(()),
        };
        self.hold(length)
    }

    /// How long the items of a list become with a separator between.
    fn joined(&self, list: &Value, separator: &str) -> Result<usize, Error> {
        let mut length = 0_usize;
        for item in list.try_iter()? {
            length = length.saturating_add(separator.len()).saturating_add(size(&item));
            if length > self.value {
                break;
            }
        }
        Ok(length)
    }
}

fn take(left: &AtomicUsize, bytes: usize) -> Option<()> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).ok().map(|_| ())
}

fn product(one: &Value, two: &Value) -> Result<Value, Error> {
    let whole = |value: &Value| value.as_i64().filter(|_| value.is_integer());
    if let (Some(one), Some(two)) = (whole(one), whole(two)) {
        return one.checked_mul(two).map(Value::from).ok_or_else(|| refusal("a product is too large"));
    }
    let number = |value: &Value| f64::try_from(value.clone());
    Ok(Value::from(number(one)? * number(two)?))
}

/// What a value takes, about, not counting what its elements hold.
pub(crate) fn size(value: &Value) -> usize {
    value.as_str().map_or_else(|| value.len().unwrap_or(1).saturating_mul(ELEMENT), str::len)
}

pub(crate) fn refusal(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}

macro_rules! metered {
    ($environment:ident, $meter:ident, $($filter:ident)*) => {
        $(
            $environment.add_filter(concat!("__", stringify!($filter)), filters::$filter);
            meter_filter($environment, &$meter, stringify!($filter), concat!("__", stringify!($filter)));
        )*
    };
}

/// Has everything that may cost much counted by `meter`.
pub(crate) fn install(environment: &mut Environment<'static>, meter: &Arc<Meter>) {
    metered! {
        environment, meter,
        upper lower title capitalize replace dictsort items reverse trim join split lines list string batch slice sum
        indent select reject selectattr rejectattr map groupby unique chain zip pprint format sort min max escape
    }
    meter_filter(environment, meter, "e", "__escape");
    let own = Arc::clone(meter);
    environment.add_function(BOUNDED, move |value: Value, member: bool| own.bounded(&value, member).map(|()| value));
    let own = Arc::clone(meter);
    environment.add_filter(TIMES, move |one: &Value, two: &Value| own.times(one, two));
    let own = Arc::clone(meter);
    environment.add_function(TEXT, move |bytes: usize| own.print(bytes).map(|()| ""));
    let own = Arc::clone(meter);
    environment.set_unknown_method_callback(move |state, value, method, arguments| {
        for argument in arguments.iter().chain([value]) {
            own.work(size(argument))?;
        }
        if let Some(method) = METHODS.iter().find(|known| known[1..] == *method) {
            own.foresee(method, value, arguments)?;
        }
        let result = unknown_method_callback(state, value, method, arguments)?;
        own.hold(size(&result))?;
        Ok(result)
    });
    let own = Arc::clone(meter);
    environment.set_formatter(move |out, state, value| {
        own.print(size(value))?;
        minijinja::escape_formatter(out, state, value)
    });
}

fn meter_filter(environment: &mut Environment<'static>, meter: &Arc<Meter>, name: &'static str, inner: &'static str) {
    let meter = Arc::clone(meter);
    environment.add_filter(name, move |state: &mut State, arguments: Rest<ValueOrKwargs>| -> Result<Value, Error> {
        let arguments = arguments.into_values();
        for argument in &arguments {
            meter.work(size(argument))?;
        }
        if let Some((subject, arguments)) = arguments.split_first() {
            meter.foresee(name, subject, arguments)?;
        }
        let result = state.apply_filter(inner, &arguments)?;
        meter.hold(size(&result))?;
        Ok(result)
    });
}
