//! Keeps a template from growing: what the template engine's own limits on steps and recursion leave open.
//!
//! Long chains of operators overflow the stack before a single step is taken, and texts that double in a few
//! steps outgrow any memory. So tags are limited while they are still source, and every value that a `set`
//! binds goes through [`bounded`].

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// No published template has more than 32 in one tag.
const OPERATORS: usize = 256;
/// No published template has more than 20.
const ALTERNATIVES: usize = 128;
/// What one variable may hold, in bytes.
const VALUE_LIMIT: usize = 4 << 20;
/// What an element of a list takes, about.
const ELEMENT: usize = 32;
/// How deep lists within lists may go.
const DEPTH_LIMIT: usize = 32;

const BOUNDED: &str = "__bounded";

/// Makes the checks that [`guarded`] writes into a template known to it.
pub(crate) fn install(environment: &mut minijinja::Environment<'static>) {
    environment.add_function(BOUNDED, |value: Value, member: bool| bounded(&value, member).map(|()| value));
}

/// The template with its checks written in, or what it has too many of. `{% generation %}` and its end, which
/// only mark what to train on, become comments.
pub(crate) fn guarded(source: &str) -> Result<String, String> {
    let mut out = String::with_capacity(source.len() + 1024);
    let mut alternatives = 0;
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        let (text, tag) = rest.split_at(start);
        out.push_str(text);
        let length = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map(|end| end + 2),
            Some(b'{') => tag_end(tag, *b"}}"),
            Some(b'%') => tag_end(tag, *b"%}"),
            _ => Some(1),
        };
        // A tag without an end is the template engine's to complain about.
        let (tag, after) = tag.split_at(length.unwrap_or(tag.len()));
        rest = after;
        if length.is_none() || !tag.starts_with("{%") {
            check_operators(tag)?;
            out.push_str(tag);
            continue;
        }
        let body = tag[2..tag.len() - 2].trim_matches(['-', '+']).trim();
        match body.split_whitespace().next() {
            Some("raw") => {
                let (raw, after) = rest.split_at(raw_end(rest));
                out.extend([tag, raw]);
                rest = after;
                continue;
            }
            Some("generation" | "endgeneration") if !body.contains(' ') => {
                out.extend(["{#", if tag.starts_with("{%-") { "-" } else { "" }]);
                out.push_str(if tag.ends_with("-%}") { "-#}" } else { "#}" });
                continue;
            }
            Some("elif") => alternatives += 1,
            _ => {}
        }
        check_operators(tag)?;
        if alternatives > ALTERNATIVES {
            return Err(format!("it has more than {ALTERNATIVES} alternatives"));
        }
        out.push_str(&with_bounded_value(tag, body));
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the text that is not to be read as a template ends.
fn raw_end(text: &str) -> usize {
    let end = text
        .match_indices("{%")
        .find(|(at, _)| text[at + 2..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw"));
    end.map_or(text.len(), |(at, _)| at)
}

/// What of a tag is not within quotes: the byte's place, and how many brackets are open there.
fn unquoted(tag: &str) -> impl Iterator<Item = (usize, u8, usize)> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0_usize);
    tag.bytes().enumerate().filter_map(move |(at, byte)| {
        if let Some(open) = quote {
            if !escaped && byte == open {
                quote = None;
            }
            escaped = !escaped && byte == b'\\';
            return None;
        }
        match byte {
            b'\'' | b'"' => quote = Some(byte),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        Some((at, byte, depth))
    })
}

/// The length of the tag that `text` begins with.
fn tag_end(text: &str, end: [u8; 2]) -> Option<usize> {
    let bytes = text.as_bytes();
    let inside = unquoted(&text[2..]).map(|(at, byte, depth)| (at + 2, byte, depth));
    // A closing brace that closes nothing is the tag's own.
    let mut before = 0;
    for (at, byte, depth) in inside {
        if byte == end[0] && bytes.get(at + 1) == Some(&end[1]) && before == 0 {
            return Some(at + 2);
        }
        before = depth;
    }
    None
}

fn check_operators(tag: &str) -> Result<(), String> {
    let mut operators = 0;
    let mut word = String::new();
    for (_, byte, _) in unquoted(tag) {
        if byte.is_ascii_alphabetic() {
            word.push(char::from(byte));
            continue;
        }
        operators += usize::from(matches!(word.as_str(), "not" | "and" | "or" | "is" | "in" | "if" | "else"));
        operators += usize::from(b"+-*/%~|.([{<>=!".contains(&byte));
        word.clear();
    }
    if operators > OPERATORS {
        return Err(format!("one of its tags has more than {OPERATORS} operators"));
    }
    Ok(())
}

/// A `set` tag with its value wrapped; any other as it is.
fn with_bounded_value(tag: &str, body: &str) -> String {
    let Some(assignment) = body.strip_prefix("set").filter(|rest| rest.starts_with(char::is_whitespace)) else {
        return tag.to_owned();
    };
    let Some((at, ..)) = unquoted(assignment).find(|(_, byte, depth)| *byte == b'=' && *depth == 0) else {
        return tag.to_owned();
    };
    let (target, value) = (&assignment[..at], &assignment[at + 1..]);
    let begin = if tag.starts_with("{%-") {
        "{%-"
    } else if tag.starts_with("{%+") {
        "{%+"
    } else {
        "{%"
    };
    let end = if tag.ends_with("-%}") {
        "-%}"
    } else if tag.ends_with("+%}") {
        "+%}"
    } else {
        "%}"
    };
    format!("{begin} set{target}= {BOUNDED}(({value}), {}) {end}", target.contains('.'))
}

/// Refuses a value that is too large or too deep; as a `member` also one that could come to contain itself.
fn bounded(value: &Value, member: bool) -> Result<(), Error> {
    let refuse = |what: &str| Err(Error::new(ErrorKind::InvalidOperation, format!("a variable {what}")));
    let mut left = VALUE_LIMIT;
    let mut open = vec![(value.clone(), 0)];
    while let Some((value, depth)) = open.pop() {
        let elements = || value.len().unwrap_or(1).saturating_mul(ELEMENT);
        let size = value.as_str().map_or_else(elements, str::len);
        if size > left {
            return refuse("would hold more than a template needs");
        }
        left -= size;
        let Some(object) = value.as_object() else { continue };
        if member && object.type_name().ends_with("Namespace") {
            return refuse("would hold a namespace");
        }
        if depth == DEPTH_LIMIT {
            return refuse("would hold lists too deep in lists");
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
    Ok(())
}
