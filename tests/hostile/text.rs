//! Vocabularies, texts and templates made to do harm: errors, no panics, no hangs.

mod report;

use nearside_gguf::{Gguf, Metadata, Value, Writer};
use nearside_text::{ChatTemplate, Message, SpecialTokens, StreamDecoder, TextError, Tokenizer};
use report::{Random, Report, seed};

const PARSE: SpecialTokens = SpecialTokens { add: true, parse: true };

fn texts(list: &[&str]) -> Value {
    Value::TextArray(list.iter().collect())
}

fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

/// A small byte-level vocabulary.
fn byte_level() -> Vec<(String, Value)> {
    vec![
        (key("model"), Value::Text("gpt2".to_owned())),
        (key("pre"), Value::Text("qwen2".to_owned())),
        (key("tokens"), texts(&["a", "b", "ab", "Ġ", "Ġab", "Ã", "¼", "<|im_start|>", "<|im_end|>", "<tool>"])),
        (key("token_type"), Value::SignedArray(vec![1, 1, 1, 1, 1, 1, 1, 3, 3, 4])),
        (key("merges"), texts(&["a b", "Ġ ab"])),
        (key("bos_token_id"), Value::Unsigned(7)),
        (key("eos_token_id"), Value::Unsigned(8)),
        (key("add_bos_token"), Value::Bool(true)),
    ]
}

/// A small vocabulary of the other family.
fn sentence_piece() -> Vec<(String, Value)> {
    vec![
        (key("model"), Value::Text("llama".to_owned())),
        (key("tokens"), texts(&["<unk>", "<s>", "</s>", "<0xC3>", "<0xBC>", "▁", "a", "b", "ab", "▁ab"])),
        (key("token_type"), Value::SignedArray(vec![2, 3, 3, 6, 6, 1, 1, 1, 1, 1])),
        (key("scores"), Value::FloatArray(vec![0.0, 0.0, 0.0, 0.0, 0.0, -5.0, -6.0, -7.0, -1.0, -2.0])),
        (key("bos_token_id"), Value::Unsigned(1)),
        (key("eos_token_id"), Value::Unsigned(2)),
        (key("unknown_token_id"), Value::Unsigned(0)),
    ]
}

fn metadata(entries: Vec<(String, Value)>) -> Metadata {
    let mut metadata = Metadata::default();
    for (key, value) in entries {
        metadata.insert(key, value);
    }
    metadata
}

fn with(mut entries: Vec<(String, Value)>, name: &str, value: Option<Value>) -> Metadata {
    entries.retain(|(key, _)| *key != format!("tokenizer.ggml.{name}"));
    entries.extend(value.map(|value| (key(name), value)));
    metadata(entries)
}

#[test]
fn vocabularies_that_contradict_themselves_are_errors() {
    let mut report = Report::new("vocabularies");
    let mut refuses = |name: &str, expected: &str, metadata: Metadata| {
        report.refuses(name, expected, 1 << 10, || Tokenizer::from_metadata(&metadata));
    };
    refuses("nothing", "no metadata key `tokenizer.ggml.model`", Metadata::default());
    for (family, build) in [("byte level", byte_level as fn() -> _), ("SentencePiece", sentence_piece)] {
        let mut refuses = |name: &str, expected: &str, key: &str, value: Option<Value>| {
            refuses(&format!("{family}: {name}"), expected, with(build(), key, value));
        };
        refuses("no tokens", "no metadata key", "tokens", None);
        refuses("empty tokens", "has 0 entries", "tokens", Some(texts(&[])));
        refuses("tokens that are numbers", "expected an array of texts", "tokens", Some(Value::UnsignedArray(vec![1])));
        refuses("too few types", "has 1 entries", "token_type", Some(Value::SignedArray(vec![1])));
        refuses("types that are texts", "an array of integers", "token_type", Some(texts(&["1"])));
        refuses("type 0", "entry 3 is 0", "token_type", Some(Value::SignedArray(vec![1, 1, 1, 0, 1, 1, 1, 1, 1, 1])));
        refuses("type -1", "entry 0 is -1", "token_type", Some(Value::SignedArray(vec![-1; 10])));
        refuses("type 2^64", "entry 0 is", "token_type", Some(Value::UnsignedArray(vec![u64::MAX; 10])));
        refuses("unknown family", "`wordpiece`", "model", Some(Value::Text("wordpiece".to_owned())));
        for special in ["bos", "eos", "eot", "eom", "unknown"] {
            for id in [10, u64::from(u32::MAX), u64::MAX] {
                let key = format!("{special}_token_id");
                refuses("special id", "but the vocabulary has 10 tokens", &key, Some(Value::Unsigned(id)));
            }
            let key = format!("{special}_token_id");
            refuses("negative special id", "holds a signed integer", &key, Some(Value::Signed(-1)));
        }
        refuses("flag in words", "expected a boolean", "add_bos_token", Some(Value::Text("yes".to_owned())));
    }
    let merges = |list: &[&str]| with(byte_level(), "merges", Some(texts(list)));
    refuses("no merges", "no metadata key `tokenizer.ggml.merges`", with(byte_level(), "merges", None));
    refuses("merge of one", "entry 1 is \"ab\"", merges(&["a b", "ab"]));
    refuses("empty merge", "entry 0 is \"\"", merges(&[""]));
    refuses("merge with nothing", "entry 0 is \"a \"", merges(&["a "]));
    refuses("merge of strangers", "\"x\", which is not in", merges(&["x b"]));
    refuses("merge to a stranger", "\"ba\", which is not in", merges(&["a b", "b a"]));
    refuses("unknown splitter", "`new`, which is", with(byte_level(), "pre", Some(Value::Text("new".to_owned()))));
    let scores = |scores| with(sentence_piece(), "scores", scores);
    refuses("no scores", "no metadata key `tokenizer.ggml.scores`", scores(None));
    refuses("too few scores", "has 2 entries", scores(Some(Value::FloatArray(vec![0.0; 2]))));
    refuses("score that is no number", "entry 4 is not a number", {
        let mut list = vec![0.0; 10];
        list[4] = f32::NAN;
        scores(Some(Value::FloatArray(list)))
    });
    report.finish();
}

#[test]
fn long_texts_take_time_in_proportion() {
    let mut report = Report::new("long texts").holding(40 << 20);
    let long = [
        "a".repeat(1 << 20),
        "ab".repeat(1 << 19),
        " ".repeat(1 << 20),
        format!("{}x", " ".repeat(1 << 20)),
        "\n".repeat(1 << 20),
        "<".repeat(1 << 20),
        "<|im_start|".repeat(1 << 16),
        "<|im_start|>".repeat(1 << 16),
        "\u{301}".repeat(1 << 19),
        "1".repeat(1 << 20),
        "'".repeat(1 << 20),
    ];
    for (family, entries) in [("byte level", byte_level()), ("SentencePiece", sentence_piece())] {
        let tokenizer = Tokenizer::from_metadata(&metadata(entries)).unwrap();
        for text in &long {
            let start: String = text.chars().take(12).collect();
            report.run(&format!("{family}: {start:?} and on"), text.len(), || tokenizer.encode(text, PARSE));
        }
        report.refuses("17 MiB", "at most 16777216", 17 << 20, || tokenizer.encode(&"a".repeat(17 << 20), PARSE));
    }
    report.finish();
}

fn render(template: &str, messages: usize) -> Result<String, TextError> {
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.chat_template".to_owned(), Value::Text(template.to_owned()));
    let message = Message::new("user", "x".repeat(1000));
    ChatTemplate::from_metadata(&metadata)?.unwrap().render(&vec![message; messages])
}

#[test]
fn templates_that_loop_recurse_or_grow_are_stopped() {
    // A page gives the engine one mebibyte of stack. As WebAssembly there are no threads, and a small stack anyway.
    if cfg!(target_family = "wasm") {
        return hostile_templates();
    }
    let small = std::thread::Builder::new().stack_size(512 << 10);
    small.spawn(hostile_templates).unwrap().join().unwrap();
}

fn hostile_templates() {
    // The two messages have 1000 bytes each, of which the bounds on a template are multiples.
    let mut report = Report::new("templates").holding(12 << 20);
    let mut count = 0;
    let mut refuses = |name: &str, expected: &str, template: &str| {
        seed("template", count, template.as_bytes());
        count += 1;
        report.refuses(name, expected, template.len(), || render(template, 2));
    };
    let loops = "{% for a in range(99999) %}".repeat(5) + &"{% endfor %}".repeat(5);
    refuses("nested loops", "does more", &loops);
    let output = format!("{{% for a in range(9999) %}}{}{{% endfor %}}", "x".repeat(9999));
    refuses("endless output", "writes more than", &output);
    refuses(
        "output of messages",
        "more than a template needs",
        "{% for a in range(99999) %}{{ messages[0].content * 100 }}{% endfor %}",
    );
    refuses("huge repetition", "", "{{ 'x' * 99999999999 }}");
    refuses("repetition of repetition", "", "{% set a = 'x' * 10000 %}{{ a * 10000 * 10000 }}");
    let loops = |step: &str| format!("{{% for a in range(99999) %}}{{% set x = {step} %}}{{% endfor %}}");
    for (name, step) in [
        ("much repeated", "('x' * 9999)|length"),
        ("much replaced", "('x' * 9999).replace('x', 'y')|length"),
        ("much replaced by long", "('x' * 60000).replace('x', 'y' * 60000)|length"),
        ("much replaced by a filter", "('x' * 60000)|replace('', 'y' * 60000)|length"),
        ("much joined", "(range(99999)|join('x' * 60000))|length"),
        ("much joined by a method", "('x' * 60000).join(range(99999))|length"),
        ("much joined of many", "(['x' * 60000] * 2000)|join|length"),
        ("much listed", "range(99999)|list|length"),
        ("much reversed", "range(99999)|reverse|length"),
        ("much sorted", "range(99999)|sort|length"),
        ("much indented", "('\\n' * 60000)|indent(60000)|length"),
        ("much formatted", "'%60000d'|format(1)|length"),
        ("much formatted by a method", "'{:>60000}'.format(1)|length"),
        ("much formatted of long", "'{0}{0}{0}{0}{0}{0}{0}{0}'.format('x' * 60000)|length"),
        ("much in capitals", "('x' * 60000)|upper|length"),
        ("much split", "('x,' * 30000).split(',')|length"),
        ("much as JSON", "([['x' * 999] * 50] * 50)|tojson|length"),
        ("much as a text", "(['x' * 999] * 60)|string|length"),
        ("a list repeated", "([1] * 99999999)|length"),
        ("a tuple repeated", "((1, 2) * 99999999)|length"),
        ("a number without end", "9999999999 * 9999999999 * 9999999999"),
    ] {
        refuses(name, "", &loops(step));
    }
    let block = format!(
        "{{% set x %}}{}{{% endset %}}",
        "{% for a in range(9999) %}".to_owned() + &"text ".repeat(9999) + "{% endfor %}"
    );
    refuses("plain text in a block", "writes more than", &block);
    refuses("white space in a block", "white space in a row", &block.replace("text ", "     "));
    refuses(
        "raw text in a block",
        "raw text",
        &block.replace("text text", "{% raw %}").replace(" {% endfor", "{% endraw %}{% endfor"),
    );
    refuses("recursion", "", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
    refuses("two that recurse", "", "{% macro a(f) %}{{ f(f) }}{% endmacro %}{{ a(a) }}");
    refuses("including itself", "", "{% include 'chat' %}");
    refuses("extending itself", "", "{% extends 'chat' %}");
    refuses("importing itself", "", "{% import 'chat' as c %}{{ c }}");
    refuses("huge range", "", "{{ range(10 ** 18) | list }}");
    refuses("huge power", "", "{{ 10 ** 10 ** 10 }}");
    refuses("brackets", "", &format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000)));
    refuses("lists", "", &format!("{{{{ {}{} }}}}", "[".repeat(20_000), "]".repeat(20_000)));
    for chain in ["not ", "-", "1 + ", "1 ~ ", "1 ** ", "1 and ", "1 if 1 else ", "1 is true and "] {
        let template = format!("{{{{ {}1 }}}}", chain.repeat(120_000 / chain.len()));
        refuses(&format!("chain of {chain:?}"), "more than 256 operators", &template);
    }
    for chain in ["|abs", ".a", "()", "[0]"] {
        let template = format!("{{{{ x{} }}}}", chain.repeat(120_000 / chain.len()));
        refuses(&format!("chain of {chain:?}"), "more than 256 operators", &template);
    }
    refuses("ifs", "", &"{% if true %}".repeat(9000));
    let elif = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(9000));
    refuses("alternatives", "more than 128 alternatives", &elif);
    let double = format!("{{% set x = 'lol' %}}{}{{{{ x }}}}", "{% set x = x ~ x %}".repeat(60));
    refuses("text that doubles", "more than a template needs", &double);
    let each = |start: &str, step: &str| {
        format!(
            "{{% set ns = namespace(x={start}) %}}{{% for i in range(9999) %}}{{%- set ns.x = {step} -%}}{{% endfor %}}{{{{ ns.x }}}}"
        )
    };
    refuses("text that doubles in a loop", "more than a template needs", &each("'lol'", "ns.x + ns.x"));
    refuses("list that doubles in a loop", "more than a template needs", &each("[1]", "ns.x + ns.x"));
    refuses("list in a list in a list", "too deep", &each("[]", "[ns.x]"));
    refuses("map in a map in a map", "too deep", &each("{}", "{'a': ns.x}"));
    refuses("namespace in itself", "a namespace", &each("1", "ns"));
    refuses("namespace in its own list", "a namespace", &each("1", "[{'a': [ns]}]"));
    let calls = format!("{}'lol'{}", "d(".repeat(60), ")".repeat(60));
    let double = format!("{{% macro d(v) %}}{{{{ v }}}}{{{{ v }}}}{{% endmacro %}}{{{{ {calls} }}}}");
    refuses("macro that doubles", "writes more than", &double);
    refuses("a long line", "a line of more than", &format!("{}{{{{ 'open", "{% if true %}".repeat(9000)));
    refuses("open tag", "cannot be read", "{% for");
    refuses("open expression", "cannot be read", "{{ messages");
    refuses("unknown tag", "cannot be read", "{% explode %}");
    refuses("unknown filter", "", "{{ messages | explode }}");
    refuses("unknown function", "strftime_now", "{{ strftime_now('%Y') }}");
    refuses(
        "refusal",
        "refuses these messages: only one system message",
        "{{ raise_exception('only one system message') }}",
    );
    refuses("too long", "at most", &"x".repeat(300_000));
    refuses("wide indent", "", "{{ messages | tojson(indent=9999999999999999999999) }}");
    report.finish();
}

#[test]
fn flipped_bytes_never_panic() {
    let template = "{% for m in messages %}{{ bos_token + m['role'].strip() + '\\n' + m.content | trim }}{% endfor %}\
                    {% if add_generation_prompt %}{{ 'a'.split('b')[0] ~ eos_token }}{% endif %}";
    let mut report = Report::new("text flips");
    for (number, (family, entries)) in
        [("byte level", byte_level()), ("SentencePiece", sentence_piece())].into_iter().enumerate()
    {
        let mut writer = Writer::new();
        for (key, value) in entries {
            writer = writer.metadata(&key, value);
        }
        let whole = writer.metadata("tokenizer.chat_template", Value::Text(template.to_owned())).finish();
        seed("tokenizer", number, &whole);
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for case in 0..3000 {
            let bytes = random.damaged(&whole);
            report.run(&format!("{family} {case}"), bytes.len(), || use_everything(&bytes));
        }
    }
    report.finish();
}

fn use_everything(bytes: &[u8]) -> Result<(), String> {
    let file = Gguf::read(&bytes.to_vec()).map_err(|error| error.to_string())?;
    let messages = vec![Message::new(" user ", "ab ü<|im_end|>\n"); 3];
    let template = ChatTemplate::from_metadata(&file.metadata).map_err(|error| error.to_string());
    let rendered = template.and_then(|template| match template {
        Some(template) => template.render(&messages).map_err(|error| error.to_string()),
        None => Ok(String::new()),
    });
    let tokenizer = Tokenizer::from_metadata(&file.metadata).map_err(|error| error.to_string())?;
    for text in ["", "ab ab", "ü🙂\0\u{2581}", "<|im_start|>ab<tool></s>", rendered.as_deref().unwrap_or("a\r\n  b")]
    {
        for special in [PARSE, SpecialTokens::default()] {
            let ids = tokenizer.encode(text, special).map_err(|error| error.to_string())?;
            assert!(ids.iter().all(|id| (*id as usize) < tokenizer.size()));
            tokenizer.decode(&ids);
        }
    }
    let mut decoder = StreamDecoder::new();
    for id in (0..tokenizer.size() as u32 + 3).chain([u32::MAX]) {
        decoder.push(&tokenizer, id);
        tokenizer.is_end(id);
    }
    decoder.finish(&tokenizer);
    rendered.map(drop)
}
