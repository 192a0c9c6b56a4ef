//! Answers of every family of models, taken apart: the same whatever pieces they come in.

use nearside_text::reply::{ReplyEvent, ReplyFormat, ReplyParser};
use serde_json::{Value, json};

/// Joins what belongs together, as a listener would.
fn joined(events: Vec<ReplyEvent>) -> Vec<ReplyEvent> {
    let mut all: Vec<ReplyEvent> = Vec::new();
    for event in events {
        match (all.last_mut(), event) {
            (Some(ReplyEvent::Content(before)), ReplyEvent::Content(text))
            | (Some(ReplyEvent::Thinking(before)), ReplyEvent::Thinking(text)) => before.push_str(&text),
            (_, event) => all.push(event),
        }
    }
    all
}

struct Family {
    /// What of its template the format is read from.
    template: &'static str,
    prompt: &'static str,
}

const TOOLS: [&str; 2] = ["weather", "python"];

impl Family {
    fn parser(&self, tools: &[&str]) -> ReplyParser {
        ReplyParser::new(&ReplyFormat::of_template(self.template), tools.iter().copied(), self.prompt)
    }

    fn events(&self, tools: &[&str], pieces: &[&str]) -> Vec<ReplyEvent> {
        let mut parser = self.parser(tools);
        let mut events: Vec<_> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
        events.extend(parser.finish());
        joined(events)
    }

    /// The events of a text, which must be the same at every split and character by character.
    fn read(&self, tools: &[&str], text: &str) -> Value {
        let whole = self.events(tools, &[text]);
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        for &place in &places {
            assert_eq!(self.events(tools, &[&text[..place], &text[place..]]), whole, "split at {place}: {text}");
        }
        for step in [1, 2, 3, 7] {
            let mut cuts: Vec<usize> = places.iter().copied().step_by(step).collect();
            cuts.push(text.len());
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            assert_eq!(self.events(tools, &pieces), whole, "pieces of {step}: {text}");
        }
        let shown = whole.into_iter().map(|event| match event {
            ReplyEvent::Content(text) => json!(text),
            ReplyEvent::Thinking(text) => json!({ "thinks": text }),
            ReplyEvent::Call(call) if call.id.is_empty() => json!({ "calls": call.name, "with": call.arguments }),
            ReplyEvent::Call(call) => json!({ "calls": call.name, "with": call.arguments, "id": call.id }),
        });
        Value::Array(shown.collect())
    }
}

const QWEN: Family = Family { template: "<tool_call> <think>", prompt: "<|im_start|>assistant\n" };
const LLAMA: Family = Family { template: "<|start_header_id|> \"parameters\"", prompt: "" };
const PHI4: Family = Family { template: "<|tool|> <|tool_call|>", prompt: "" };
const GRANITE: Family = Family { template: "<|start_of_role|> <|tool_call|> <response> </response>", prompt: "" };
const MISTRAL: Family = Family { template: "[TOOL_CALLS] [ARGS] [THINK]", prompt: "" };
const GEMMA3: Family = Family { template: "<start_of_turn>", prompt: "<start_of_turn>model\n" };
const LFM2: Family = Family { template: "<|tool_call_start|>", prompt: "" };
const DEEPSEEK: Family = Family { template: "<｜tool▁calls▁begin｜>", prompt: "<｜Assistant｜><think>\n" };

fn oslo() -> Value {
    json!({ "calls": "weather", "with": { "city": "Oslo" } })
}

#[test]
fn qwen_and_smollm3_write_hermes_calls() {
    let read = |text: &str| QWEN.read(&TOOLS, text);
    let call = r#"<tool_call>
{"name": "weather", "arguments": {"city": "Oslo"}}
</tool_call>"#;
    assert_eq!(read(call), json!([oslo()]));
    assert_eq!(
        read(&format!("<think>\nRain?\n\nNo.\n</think>\n\nI look.\n{call}")),
        json!([{"thinks": "Rain?\n\nNo."}, "I look.", oslo()])
    );
    assert_eq!(read(&format!("{call}\n{call}\n")), json!([oslo(), oslo()]));
    assert_eq!(
        read(r#"<tool_call>{"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}</tool_call>"#),
        json!([oslo()])
    );
    assert_eq!(read(r#"<tool_call>{"name": "weather"}</tool_call>"#), json!([{"calls": "weather", "with": {}}]));
    let inside = r#"<tool_call>{"name": "python", "arguments": {"code": "print('</tool_call> {')"}}</tool_call> done"#;
    assert_eq!(read(inside), json!([{"calls": "python", "with": {"code": "print('</tool_call> {')"}}, "done"]));
    // An answer that ends too early still says what it meant.
    assert_eq!(read(&call[..call.len() - 12]), json!([oslo()]));
    assert_eq!(read("<tool_call>{\"name\": \"wea"), json!(["<tool_call>{\"name\": \"wea"]));
    assert_eq!(read("<tool_call>no JSON</tool_call> and on"), json!(["<tool_call>no JSON</tool_call> and on"]));
    let nested = r"<tool_call><function=weather>
<parameter=city>
Oslo
</parameter>
<parameter=days>
3
</parameter>
</function></tool_call>";
    assert_eq!(read(nested), json!([{"calls": "weather", "with": {"city": "Oslo", "days": 3}}]));
}

#[test]
fn thoughts_are_kept_apart_and_only_at_the_beginning() {
    let read = |text: &str| QWEN.read(&[], text);
    assert_eq!(read("<think>\n\n</think>\n\nHi.  \n"), json!(["Hi.  \n"]));
    assert_eq!(read("<think>a < b <thin</think>Hi"), json!([{"thinks": "a < b <thin"}, "Hi"]));
    assert_eq!(read("<think>never closed </thi"), json!([{"thinks": "never closed </thi"}]));
    assert_eq!(read("Write <think>x</think>."), json!(["Write <think>x</think>."]));
    assert_eq!(read("  a <tool_call> b < "), json!(["  a <tool_call> b < "]));
    let wide = " ".repeat(100);
    assert_eq!(read(&format!("{wide}<think>a{wide}</think>b")), json!([format!("{wide}<think>a{wide}</think>b")]));
    assert_eq!(read(&format!("<think>a{wide}</think>b")), json!([{ "thinks": format!("a{wide}") }, "b"]));
    assert_eq!(QWEN.read(&TOOLS, &format!("a{wide}<tool_call>b")), json!([format!("a{wide}<tool_call>b")]));
    assert_eq!(read(""), json!([]));
    assert_eq!(read("<thi"), json!(["<thi"]));
    let opened = Family { prompt: "<|im_start|>assistant\n<think>\n", ..QWEN };
    assert_eq!(opened.read(&[], "So.\n</think>\n\nHi"), json!([{"thinks": "So."}, "Hi"]));
    assert_eq!(MISTRAL.read(&[], "[THINK]So.[/THINK]Hi"), json!([{"thinks": "So."}, "Hi"]));
    assert_eq!(GRANITE.read(&[], "<think>So.</think>\n<response>Hi.</response>"), json!([{"thinks": "So."}, "Hi."]));
}

#[test]
fn llama_calls_without_marks() {
    let read = |text: &str| LLAMA.read(&TOOLS, text);
    assert_eq!(read(r#"{"name": "weather", "parameters": {"city": "Oslo"}}"#), json!([oslo()]));
    assert_eq!(
        read(
            r#"{"type": "function", "name": "weather", "parameters": {"city": "Oslo"}}; {"name": "weather", "parameters": {"city": "Oslo"}}"#
        ),
        json!([oslo(), oslo()])
    );
    assert_eq!(
        read(r#"{"type": "function", "function": {"name": "weather", "parameters": {"city": "Oslo"}}}"#),
        json!([oslo()])
    );
    assert_eq!(read(r#"<|python_tag|>{"name": "weather", "parameters": {"city": "Oslo"}}"#), json!([oslo()]));
    assert_eq!(read(r#"<|python_tag|>weather(city="Oslo")"#), json!([oslo()]));
    assert_eq!(read(r#"[weather(city="Oslo"), weather(city='Oslo')]"#), json!([oslo(), oslo()]));
    // What is no call to a tool that there is, is text.
    for text in [
        r#"{"name": "stranger", "parameters": {}} and on"#,
        r#"{"answer": 42, "list": [1, {"a": "b"}]}"#,
        "{ not JSON } at all",
        "  {\"name\": 1} and [2]",
        "[1] is a footnote",
        "[weather] is a word",
        "[stranger(a=1)]",
        "{\"name\": \"weather\"",
        "{",
    ] {
        assert_eq!(read(text), json!([text]));
    }
    let far = format!("{}{{\"name\": \"weather\"}}]", "[ ".repeat(80));
    assert_eq!(read(&far), json!([far]), "no call is so deep");
    let call = r#"{"name": "weather", "parameters": {"city": "Oslo"}}"#;
    assert_eq!(LLAMA.read(&[], call), json!([call]), "without tools nothing is a call");
}

#[test]
fn lists_behind_a_mark() {
    let list = r#"[{"name": "weather", "arguments": {"city": "Oslo"}}]"#;
    assert_eq!(PHI4.read(&TOOLS, &format!("<|tool_call|>{list}<|/tool_call|>")), json!([oslo()]));
    assert_eq!(GRANITE.read(&TOOLS, &format!("<|tool_call|>{list}")), json!([oslo()]));
    assert_eq!(MISTRAL.read(&TOOLS, &format!("[TOOL_CALLS]{list}")), json!([oslo()]));
    let with_id = r#"[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Oslo"}, "id": "abcdefghi"}]"#;
    assert_eq!(MISTRAL.read(&TOOLS, with_id)[0]["id"], "abcdefghi");
    assert_eq!(
        LFM2.read(&TOOLS, r#"<|tool_call_start|>[weather(city="Oslo")]<|tool_call_end|>Wait."#),
        json!([oslo(), "Wait."])
    );
}

#[test]
fn names_before_arguments() {
    let read = |text: &str| MISTRAL.read(&TOOLS, text);
    assert_eq!(read(r#"[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}"#), json!([oslo()]));
    assert_eq!(
        read(r#"On it.[TOOL_CALLS]weather{"city": "Oslo"}[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}"#),
        json!(["On it.", oslo(), oslo()])
    );
    assert_eq!(read(r#"[TOOL_CALLS]weather[CALL_ID]123456789[ARGS]{"city": "Oslo"}"#)[0]["id"], "123456789");
    let call = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": \"Oslo\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    assert_eq!(DEEPSEEK.read(&TOOLS, &format!("So.</think>{call}")), json!([{"thinks": "So."}, oslo()]));
    let newer = "</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": \"Oslo\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    assert_eq!(DEEPSEEK.read(&TOOLS, newer), json!([oslo()]));
}

#[test]
fn models_without_a_form_of_their_own_use_fences() {
    let read = |text: &str| GEMMA3.read(&TOOLS, text);
    assert_eq!(read("```tool_code\nweather(city=\"Oslo\")\n```"), json!([oslo()]));
    assert_eq!(read("```json\n{\"name\": \"weather\", \"parameters\": {\"city\": \"Oslo\"}}\n```"), json!([oslo()]));
    assert_eq!(read("```\n[{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}]\n```\n"), json!([oslo()]));
    for text in
        ["```rust\nfn main() {}\n```", "```python\nprint(1)\n```\nThere.", "```json\n{\"a\": 1}\n```", "```", "`` `"]
    {
        assert_eq!(read(text), json!([text]));
    }
}

#[test]
fn text_is_given_out_as_soon_as_it_can_be() {
    let mut parser = QWEN.parser(&TOOLS);
    assert_eq!(parser.push("Hello"), [ReplyEvent::Content("Hello".into())]);
    assert_eq!(parser.push(" wor"), [ReplyEvent::Content(" wor".into())]);
    assert_eq!(parser.push("ld <tool"), [ReplyEvent::Content("ld".into())]);
    assert_eq!(parser.push("box>"), [ReplyEvent::Content(" <toolbox>".into())]);
    assert_eq!(parser.push("\n<tool_call>{"), []);
    let mut parser = LLAMA.parser(&TOOLS);
    assert_eq!(parser.push("{\"an"), [ReplyEvent::Content("{\"an".into())], "no key of a call begins so");
}

#[test]
fn what_is_held_back_is_bounded() {
    // The most that an event gives out at once is what was held before it.
    let most = |family: &Family, start: &str, piece: &str| {
        let mut parser = family.parser(&TOOLS);
        let mut events = parser.push(start);
        let piece = piece.repeat(64 / piece.len());
        for _ in 0..(320 << 10) / piece.len() {
            events.extend(parser.push(&piece));
        }
        events.extend(parser.finish());
        let lengths = events.iter().map(|event| match event {
            ReplyEvent::Content(text) | ReplyEvent::Thinking(text) => text.len(),
            ReplyEvent::Call(_) => 0,
        });
        lengths.max().unwrap_or(0)
    };
    for family in [&QWEN, &LLAMA, &MISTRAL, &GEMMA3, &DEEPSEEK] {
        for start in [
            "",
            "<tool_call>",
            "<tool_call>{\"name\": \"",
            "{\"name\": \"",
            "[",
            "[TOOL_CALLS]",
            "```json\n{\"name\": \"",
            "<think>",
        ] {
            for piece in ["x", " ", "<", "</tool_call>", "`", "[", "{\"name\":", "\n```", "日本"] {
                let most = most(family, start, piece);
                assert!(most <= (256 << 10) + 128, "{start} {piece}: {most}");
            }
        }
    }
}
