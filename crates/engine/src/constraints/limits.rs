//! How much a constraint may ask for.

use llguidance::api::ParserLimits;

/// The longest schema in wide use has a third of this.
const SOURCE_LIMIT: usize = 64 << 10;
/// How deep brackets may go: every one may be a frame on the stack.
const DEPTH_LIMIT: usize = 64;

/// Refuses what is too long or too deep, before anything reads it.
pub(super) fn check_source(text: &str) -> Result<(), String> {
    if text.len() > SOURCE_LIMIT {
        return Err(format!("it has {} bytes and at most {SOURCE_LIMIT} are read; make it smaller", text.len()));
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'(' | b'[' | b'{' if !quoted => depth += 1,
            b')' | b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            // No bracket and no quotation mark goes over a line end in any of the forms but JSON, where it is the
            // parser's to complain.
            b'\n' => quoted = false,
            _ => {}
        }
        if depth > DEPTH_LIMIT {
            return Err(format!("its brackets go more than {DEPTH_LIMIT} deep; make it flatter"));
        }
    }
    Ok(())
}

/// What llguidance may spend. A lexer state takes one or two kilobytes, a thousand units of fuel about a fiftieth of
/// a millisecond at first and a fourteenth later.
pub(super) fn parser_limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 20_000,
        max_grammar_size: 100_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}
