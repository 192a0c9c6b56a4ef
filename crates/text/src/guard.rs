//! Keeps a template from growing: what the template engine's own limits on steps and recursion leave open.
//!
//! Long chains of operators overflow the stack before a single step is taken, and texts that double in a few
//! steps outgrow any memory. So tags are limited while they are still source, and calls to what
//! [`limits`](crate::limits) counts are written into it: around every value that a `set` binds, around every product,
//! and into every long stretch of plain text.

/// No published template has more than 32 in one tag.
const OPERATORS: usize = 256;
/// No published template has more than 20.
const ALTERNATIVES: usize = 128;
/// Plain text shorter than this is not counted when it is printed.
const SHORT: usize = 48;
/// White space and raw text, into which nothing can be written, are no longer than this.
const BLANK: usize = 1 << 10;

/// The template engine counts columns in 16 bits. No published template has half as many on a line.
const LINE: usize = 60_000;

/// Checks a value that a variable is to hold.
pub(crate) const BOUNDED: &str = "__bounded";
/// Multiplies.
pub(crate) const TIMES: &str = "__times";
/// Counts plain text.
pub(crate) const TEXT: &str = "__text";

/// The template with its checks written in, or what it has too many of. `{% generation %}` and its end, which
/// only mark what to train on, become comments.
pub(crate) fn guarded(source: &str) -> Result<String, String> {
    let mut out = String::with_capacity(source.len() + 1024);
    let mut alternatives = 0;
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        let (text, tag) = rest.split_at(start);
        push_counted(text, &mut out)?;
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
            let expression = length.is_some() && tag.starts_with("{{");
            out.push_str(&if expression { with_bounded_products(tag)? } else { tag.to_owned() });
            continue;
        }
        let body = tag[2..tag.len() - 2].trim_matches(['-', '+']).trim();
        match body.split_whitespace().next() {
            Some("raw") => {
                let (raw, after) = rest.split_at(raw_end(rest));
                if raw.len() > BLANK {
                    return Err(format!("it has more than {BLANK} bytes of raw text"));
                }
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
        let tag = with_bounded_products(tag)?;
        let body = tag[2..tag.len() - 2].trim_matches(['-', '+']).trim();
        out.push_str(&with_bounded_value(&tag, body));
    }
    push_counted(rest, &mut out)?;
    if out.lines().any(|line| line.len() > LINE) {
        return Err(format!("it has a line of more than {LINE} bytes"));
    }
    Ok(out)
}

/// Plain text, with a call that counts it where it is long. The call stands between two characters that are not white
/// space, so that what tags take away of the space around them stays the same.
fn push_counted(text: &str, out: &mut String) -> Result<(), String> {
    let solid = text.trim();
    let last = solid.char_indices().next_back().map_or(0, |(at, _)| at);
    if text.len() < SHORT {
        out.push_str(text);
    } else if last > 0 {
        let at = text.len() - text.trim_start().len() + last;
        out.push_str(&text[..at]);
        out.extend(["{{ ", TEXT, "(", &text.len().to_string(), ") }}"]);
        out.push_str(&text[at..]);
    } else if text.len() <= BLANK {
        out.push_str(text);
    } else {
        return Err(format!("it has more than {BLANK} bytes of white space in a row"));
    }
    Ok(())
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

/// The words after which an operand is over.
const KEYWORDS: [&str; 7] = ["and", "or", "not", "in", "is", "if", "else"];

/// A tag with `a * b` written as `a |__times( b)`, which binds as tightly to its left as `*` does.
fn with_bounded_products(tag: &str) -> Result<String, String> {
    let mut products = Products { tag, out: String::new(), from: 0, open: Vec::new(), mixed: Vec::new() };
    let (mut word, mut before, mut skip) = (None::<usize>, b' ', 0);
    for (at, byte, depth) in unquoted(&tag[2..tag.len() - 2]).map(|(at, byte, depth)| (at + 2, byte, depth)) {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            word = word.or(Some(at));
            continue;
        }
        if let Some(start) = word.take() {
            if KEYWORDS.contains(&&tag[start..at]) {
                products.end_term(start, depth);
            }
            before = b'a';
        }
        if at < skip || byte.is_ascii_whitespace() {
            continue;
        }
        let unpacks = matches!(before, b'(' | b',');
        match byte {
            b'*' if tag.as_bytes()[at + 1] == b'*' => {
                skip = at + 2;
                if !unpacks {
                    products.mix(depth);
                }
            }
            b'*' if !unpacks => products.begin(at, depth)?,
            b'/' | b'%' => {
                products.close(at, depth);
                products.mix(depth);
            }
            b'+' | b'-' if before == b'*' => {}
            b'+' | b'-' | b'~' | b',' | b':' | b'<' | b'>' | b'=' | b'!' => products.end_term(at, depth),
            b'(' | b'[' | b'{' => products.mixed.retain(|mixed| *mixed < depth),
            b')' | b']' | b'}' => products.close(at, depth + 1),
            _ => {}
        }
        before = byte;
    }
    products.close(tag.len() - 2, 0);
    Ok(products.out + &tag[products.from..])
}

/// A tag that is being rewritten.
struct Products<'t> {
    tag: &'t str,
    out: String,
    /// What of the tag is not in `out` yet begins here.
    from: usize,
    /// How deep the products lie whose right side is not over.
    open: Vec<usize>,
    /// How deep the terms lie that hold a quotient or a power.
    mixed: Vec<usize>,
}

impl Products<'_> {
    fn begin(&mut self, at: usize, depth: usize) -> Result<(), String> {
        self.close(at, depth);
        if self.mixed.contains(&depth) {
            return Err("a product follows a quotient or a power; write it in brackets".to_owned());
        }
        self.out.extend([&self.tag[self.from..at], "|", TIMES, "("]);
        self.from = at + 1;
        self.open.push(depth);
        Ok(())
    }

    /// Ends the right sides of the products at this depth and below.
    fn close(&mut self, at: usize, depth: usize) {
        while self.open.last().is_some_and(|open| *open >= depth) {
            self.open.pop();
            self.out.push_str(&self.tag[self.from..at]);
            self.out.push(')');
            self.from = at;
        }
    }

    fn mix(&mut self, depth: usize) {
        self.mixed.push(depth);
    }

    fn end_term(&mut self, at: usize, depth: usize) {
        self.close(at, depth);
        self.mixed.retain(|mixed| *mixed < depth);
    }
}

#[cfg(test)]
mod tests {
    use super::with_bounded_products;

    #[test]
    fn products_become_calls_and_nothing_else_changes() {
        for (tag, expected) in [
            ("{{ a * b }}", "{{ a |__times( b )}}"),
            ("{{ 'x * y' * (n - 1) + 2 }}", "{{ 'x * y' |__times( (n - 1) )+ 2 }}"),
            (
                "{{ f(a * b, *c, **d) * -e.g[h * i]|j }}",
                "{{ f(a |__times( b), *c, **d) |__times( -e.g[h |__times( i)]|j )}}",
            ),
            ("{%- if a * b > c and 2 * d -%}", "{%- if a |__times( b )> c and 2 |__times( d )-%}"),
            ("{{ a * b * c }}", "{{ a |__times( b )|__times( c )}}"),
            ("{{ a ** b }}", "{{ a ** b }}"),
            ("{{ a * b / c + d * e }}", "{{ a |__times( b )/ c + d |__times( e )}}"),
        ] {
            assert_eq!(with_bounded_products(tag).unwrap(), expected);
        }
        assert!(with_bounded_products("{{ a / b * c }}").is_err());
        assert!(with_bounded_products("{{ a ** b * c }}").is_err());
    }
}
