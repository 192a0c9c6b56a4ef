//! Schemas, expressions and grammars that explode, loop or contradict themselves, as a client may send them.

mod report;
mod vocabulary;

use nearside_engine::Constraint;
use report::{Random, Report, seed};
use vocabulary::tokenizer;

/// What is tried as an answer under every constraint, so that masks are computed as well.
const ANSWER: &str = "{\"a\": [1, \"bab\", {\"a\": null}]} aaabbbaaab";

fn schema(text: &str) -> Constraint {
    Constraint::JsonSchema(text.to_owned())
}

fn regex(text: &str) -> Constraint {
    Constraint::Regex(text.to_owned())
}

fn lark(text: &str) -> Constraint {
    Constraint::Lark(text.to_owned())
}

/// The bytes of a constraint behind a letter that says which it is, as the fuzz target reads them.
fn source(constraint: &Constraint) -> Vec<u8> {
    let (kind, text) = match constraint {
        Constraint::JsonObject => ('j', "{}"),
        Constraint::JsonSchema(text) => ('j', text.as_str()),
        Constraint::Regex(text) => ('r', text.as_str()),
        Constraint::Lark(text) => ('l', text.as_str()),
    };
    format!("{kind}{text}").into_bytes()
}

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

/// So many of something, with commas between.
fn list(count: usize, text: impl Fn(usize) -> String) -> String {
    lines(count, ",", text)
}

fn lines(count: usize, between: &str, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect::<Vec<_>>().join(between)
}

#[test]
fn what_cannot_be_is_one_error() {
    let tokenizer = tokenizer();
    let mut report = Report::new("impossible grammars").holding(16 << 20);
    let mut count = 1000;
    let mut refuses = |name: &str, expected: &str, constraint: Constraint| {
        let bytes = source(&constraint);
        seed("grammar", count, &bytes);
        count += 1;
        report.refuses(name, expected, bytes.len(), || constraint.accepts(&tokenizer, ANSWER));
    };
    refuses("not JSON", "it is not JSON", schema("{"));
    refuses("a number for a schema", "JSON schema", schema("7"));
    refuses("an unknown type", "JSON schema", schema(r#"{"type": "colour"}"#));
    refuses("no value", "JSON schema", schema(r#"{"type": "integer", "minimum": 5, "maximum": 4}"#));
    refuses("a missing definition", "JSON schema", schema(r##"{"$ref": "#/$defs/gone"}"##));
    refuses("another host's definition", "JSON schema", schema(r#"{"$ref": "http://example.org/schema"}"#));
    let within = "start: %json {\"type\": \"null\"} | %json {\"multipleOf\": 399999959}";
    refuses("the same in a grammar", "`multipleOf` is", lark(within));
    refuses("a multiple of a large prime", "`multipleOf` is", schema(r#"{"multipleOf": 1000000007}"#));
    refuses(
        "many properties",
        "may have 300 properties",
        schema(&format!("{{\"properties\": {{{}}}}}", list(2000, |n| format!("\"p{n}\": {{}}")))),
    );
    refuses(
        "many alternatives",
        "may have 300 properties",
        schema(&format!("{{\"anyOf\": [{}]}}", list(1000, |n| format!("{{\"required\": [\"p{n}\"]}}")))),
    );
    refuses("brackets in JSON", "more than 64 deep", schema(&nested("[", "", "]", 20_000)));
    refuses("objects in JSON", "more than 64 deep", schema(&nested("{\"items\":", "true", "}", 5000)));
    refuses("a long schema", "at most 65536 are read", schema(&" ".repeat(1 << 20)));
    refuses("an open bracket", "regular expression", regex("(ab"));
    refuses("a count the wrong way", "regular expression", regex("a{5,2}"));
    refuses("brackets in an expression", "more than 64 deep", regex(&nested("(", "a", ")", 20_000)));
    refuses("a long expression", "at most 65536 are read", regex(&"a".repeat(1 << 20)));
    refuses("no grammar", "grammar", lark("!"));
    refuses("an empty grammar", "grammar", lark(""));
    refuses("a missing rule", "grammar", lark("start: gone"));
    refuses("no start", "grammar", lark("other: \"a\""));
    refuses(
        "brackets in a grammar",
        "more than 64 deep",
        lark(&format!("start: {}", nested("(", "\"a\"", ")", 20_000))),
    );
    refuses("an open text", "grammar", lark("start: \"a"));
    refuses("a schema that is none", "grammar", lark("start: %json {"));
    report.finish();
}

#[test]
fn what_explodes_or_loops_is_bounded() {
    let tokenizer = tokenizer();
    let mut report = Report::new("explosive grammars").holding(64 << 20);
    let cases = [
        ("counts of counts", regex("((a{1,500}){1,500}){1,500}")),
        ("a count without end", regex("a{1,2000000000}")),
        ("one text without end", regex("0s21,a{010000001}")),
        ("the same by counts of counts", regex("(((ab){999}){999}){999}")),
        ("the same of rules", lark("start: (((\"ab\"){999}){999}){999}")),
        ("the same in a list", schema(r#"{"type": "array", "minItems": 100000000, "items": {"const": 1}}"#)),
        ("many stars", regex("(.*a){20}(.*b){20}(.*c){20}")),
        ("stars of stars", regex("((((a*)*)*)*)*b")),
        ("both at once", regex("(a|ab|aab|b|ba)*(a|aa|aaa|b)*c")),
        ("many ways", regex(&lines(500, "|", |n| format!("(a|b){{{n}}}c")))),
        ("a far look back", regex("(a|b)*a(a|b){200}")),
        ("all of Unicode", regex("(\\p{L}|\\p{N}|\\p{S}){1,200}")),
        ("an endless list", schema(r#"{"type": "array", "minItems": 1000000000}"#)),
        ("an endless text", schema(r#"{"type": "string", "minLength": 1000000000}"#)),
        ("many properties", schema(&format!("{{\"properties\": {{{}}}}}", list(300, |n| format!("\"p{n}\": {{}}"))))),
        ("many values", schema(&format!("{{\"enum\": [{}]}}", list(8000, |n| n.to_string())))),
        ("all of many", schema(&format!("{{\"allOf\": [{}]}}", list(300, |n| format!("{{\"minLength\": {n}}}"))))),
        (
            "any of many",
            schema(&format!("{{\"anyOf\": [{}]}}", list(300, |n| format!("{{\"required\": [\"p{n}\"]}}")))),
        ),
        (
            "all of any of all",
            schema(&{
                let any = format!("{{\"anyOf\": [{}]}}", list(9, |n| format!("{{\"minItems\": {n}}}")));
                format!("{{\"allOf\": [{}]}}", vec![any; 8].join(","))
            }),
        ),
        ("a definition of itself", schema(r##"{"$ref": "#"}"##)),
        (
            "definitions in a ring",
            schema(
                r##"{"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/a"}]}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}"##,
            ),
        ),
        (
            "definitions that double",
            schema(&format!(
                "{{\"$defs\": {{{}, \"d30\": {{}}}}, \"$ref\": \"#/$defs/d0\"}}",
                list(30, |n| format!(
                    "\"d{n}\": {{\"allOf\": [{{\"$ref\": \"#/$defs/d{0}\"}}, {{\"$ref\": \"#/$defs/d{0}\"}}]}}",
                    n + 1
                ))
            )),
        ),
        ("a pattern of counts", schema(r#"{"type": "string", "pattern": "((a{1,300}){1,300}){1,300}"}"#)),
        (
            "patterns that must all match",
            schema(
                r#"{"allOf": [{"pattern": "(a|b)*a(a|b){40}"}, {"pattern": "(a|b)*b(a|b){41}"}, {"pattern": "(.*ab){9}"}]}"#,
            ),
        ),
        ("a multiple of little", schema(r#"{"type": "number", "multipleOf": 1e-6}"#)),
        ("numbers far apart", schema(r#"{"type": "number", "minimum": -1e308, "maximum": 1e308}"#)),
        (
            "integers far apart",
            schema(r#"{"type": "integer", "minimum": -9223372036854775808, "maximum": 9223372036854775807}"#),
        ),
        ("a multiple of a prime", schema(r#"{"type": "integer", "multipleOf": 4999}"#)),
        ("multiples that meet", schema(r#"{"type": "number", "allOf": [{"multipleOf": 1.33}, {"multipleOf": 0.7}]}"#)),
        ("a rule of itself", lark("start: start")),
        ("a rule that begins with itself", lark("start: start start | start \"a\" | \"a\" | \"\"")),
        ("a grammar of itself", lark("start: @form | @lark_grammar")),
        ("a terminal of itself", lark("start: A\nA: A \"a\" | \"a\"")),
        ("a large count", lark("start: \"a\"{0,100000}")),
        ("counts of counts of rules", lark("start: ((\"a\"{1,99}){1,99}){1,99}")),
        ("all that is not", lark("start: A\nA: ~(/(a|b)*a(a|b){60}/) & ~(/(a|b)*b(a|b){61}/)")),
        (
            "rules that double",
            lark(&format!("start: r0\n{}\nr30: \"a\"", lines(30, "\n", |n| format!("r{n}: r{0} r{0}", n + 1)))),
        ),
        (
            "many rules",
            lark(&format!(
                "start: {}\n{}",
                lines(1200, " | ", |n| format!("r{n}")),
                lines(1200, "\n", |n| format!("r{n}: \"a\" /b{{{n}}}/"))
            )),
        ),
        (
            "a schema in a grammar in a grammar",
            lark("start: %lark { start: %lark { start: %json {\"$ref\": \"#\"} } }"),
        ),
        ("everything ignored", lark("start: \"a\"\n%ignore /.*/")),
    ];
    for (number, (name, constraint)) in cases.into_iter().enumerate() {
        let bytes = source(&constraint);
        seed("grammar", number, &bytes);
        report.run(name, bytes.len(), || constraint.accepts(&tokenizer, ANSWER));
        report.run(name, bytes.len(), || constraint.accepts(&tokenizer, &"ab".repeat(100)));
    }
    report.finish();
}

#[test]
fn changed_letters_never_panic() {
    let tokenizer = tokenizer();
    let sound = [
        schema(
            r##"{"type": "object", "properties": {"a": {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 1},
            {"type": "string", "pattern": "^[ab]{1,9}$"}, {"$ref": "#"}]}, "maxItems": 4}}, "required": ["a"]}"##,
        ),
        regex("(\\{\"a\": [0-9]+\\}|[^x-z]{2,40}?|a(?:b|c)*\\d\\w\\s.)+"),
        lark(
            "start: \"{\" pair (\",\" pair)* \"}\" | value\npair: NAME \":\" value\nvalue: /[0-9]+/ | NAME | \"[\" value? \"]\"\nNAME: \"\\\"\" /[a-z]{1,9}/ \"\\\"\"\n%ignore / +/",
        ),
    ];
    let mut report = Report::new("grammar flips").holding(64 << 20);
    let mut random = Random(0x5851_f42d_4c95_7f2d);
    for constraint in &sound {
        constraint.accepts(&tokenizer, ANSWER).unwrap();
        let bytes = source(constraint);
        seed("grammar", 2000 + bytes.len(), &bytes);
        for case in 0..400 {
            let damaged = String::from_utf8_lossy(&random.damaged(&bytes[1..])).into_owned();
            let changed = match constraint {
                Constraint::Regex(_) => Constraint::Regex(damaged),
                Constraint::Lark(_) => Constraint::Lark(damaged),
                _ => Constraint::JsonSchema(damaged),
            };
            report.run(&format!("flip {case}"), bytes.len(), || changed.accepts(&tokenizer, ANSWER));
        }
    }
    report.finish();
}
