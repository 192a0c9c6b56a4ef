//! The small language in which kernels say what depends on the adapter or the operation.
//!
//! Every definition becomes a WGSL constant. Lines that start with `//@` direct: `if NAME` keeps what
//! follows when `NAME` is defined and not 0, up to `else` or `end`; `for X in NAME` repeats what
//! follows `NAME` times with `$X` replaced by the count, which unrolls loops over registers.

use std::fmt::Write;

/// A name and its value.
pub(crate) type Definition = (&'static str, u32);

/// The parts one after the other, directed by the definitions.
pub(crate) fn render(parts: &[&str], definitions: &[Definition]) -> String {
    let mut output = String::new();
    for (name, value) in definitions {
        // Writing to a string cannot fail.
        let _ = writeln!(output, "const {name}: u32 = {value}u;");
    }
    let lines: Vec<&str> = parts.iter().flat_map(|part| part.lines()).collect();
    expand(&lines, definitions, &mut output);
    output
}

fn expand(lines: &[&str], definitions: &[Definition], output: &mut String) {
    let value = |name: &str| definitions.iter().find(|definition| definition.0 == name).map_or(0, |found| found.1);
    let mut at = 0;
    while at < lines.len() {
        let Some(directive) = lines[at].trim_start().strip_prefix("//@") else {
            output.push_str(lines[at]);
            output.push('\n');
            at += 1;
            continue;
        };
        let (alternative, end) = extent(lines, at);
        let body = &lines[at + 1..alternative.unwrap_or(end)];
        match directive.split_whitespace().collect::<Vec<_>>()[..] {
            ["if", name] if value(name) != 0 => expand(body, definitions, output),
            ["if", _] => {
                if let Some(alternative) = alternative {
                    expand(&lines[alternative + 1..end], definitions, output);
                }
            }
            ["for", variable, "in", name] => {
                let marker = format!("${variable}");
                for count in 0..value(name) {
                    let text = body.join("\n").replace(&marker, &count.to_string());
                    expand(&text.lines().collect::<Vec<_>>(), definitions, output);
                }
            }
            _ => {}
        }
        at = end + 1;
    }
}

/// Where the directive at `start` has its `else` and its `end`.
fn extent(lines: &[&str], start: usize) -> (Option<usize>, usize) {
    let mut depth = 0;
    let mut alternative = None;
    for (index, line) in lines.iter().enumerate().skip(start) {
        match line.trim_start().strip_prefix("//@").and_then(|directive| directive.split_whitespace().next()) {
            Some("if" | "for") => depth += 1,
            Some("else") if depth == 1 => alternative = Some(index),
            Some("end") => {
                depth -= 1;
                if depth == 0 {
                    return (alternative, index);
                }
            }
            _ => {}
        }
    }
    (alternative, lines.len())
}

/// A text whose own names, and those of the planes that it reads and of what directs it, end in a number, so that it
/// can stand beside another of its kind.
pub(crate) fn suffixed(text: &str, number: usize) -> String {
    let declared = text.lines().filter_map(|line| {
        let rest = ["fn ", "struct ", "const "].iter().find_map(|keyword| line.strip_prefix(keyword))?;
        rest.split(|symbol: char| !is_name(symbol)).next()
    });
    let names: Vec<&str> = declared.chain(["quants", "extras", "TWO_SCALES", "MINIMA"]).collect();
    let mut output = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|symbol: char| !is_name(symbol)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(word);
        output.push_str(name);
        if names.contains(&name) {
            let _ = write!(output, "{number}");
        }
        let gap = after.find(is_name).unwrap_or(after.len());
        output.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    output
}

fn is_name(symbol: char) -> bool {
    symbol.is_ascii_alphanumeric() || symbol == '_'
}

#[cfg(test)]
mod tests {
    use super::{render, suffixed};

    #[test]
    fn own_names_get_a_number_and_others_stay() {
        let text = "const A: u32 = 2u;\nstruct Block {\n    at: u32,\n}\nfn load(a: u32) -> Block {\n    return Block(quants[a * A]);\n}";
        let expected = "const A1: u32 = 2u;\nstruct Block1 {\n    at: u32,\n}\nfn load1(a: u32) -> Block1 {\n    return Block1(quants1[a * A1]);\n}";
        assert_eq!(suffixed(text, 1), expected);
    }

    #[test]
    fn conditions_and_repetitions_nest() {
        let text = "//@for I in N\n//@if A\na$I\n//@else\nb$I\n//@end\n//@for J in N\n$I$J\n//@end\n//@end\nz";
        assert_eq!(render(&[text], &[("N", 2)]), "const N: u32 = 2u;\nb0\n00\n01\nb1\n10\n11\nz\n");
        assert!(render(&[text], &[("N", 1), ("A", 1)]).contains("a0\n"));
    }
}
