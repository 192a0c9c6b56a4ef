//! Chat templates, the models' own and what templates in general rely on.

mod support;

use nearside_gguf::{Metadata, Value};
use nearside_text::{ChatTemplate, Conversation, Message, SpecialTokens, TextError, Tokenizer};

fn conversation() -> Vec<Message> {
    [("user", "Hi <there>"), ("assistant", "Hello."), ("user", "Why?")]
        .map(|(role, content)| Message::new(role, content))
        .to_vec()
}

fn render(template: &str) -> Result<String, TextError> {
    let mut metadata = Metadata::default();
    for (key, value) in [
        ("tokenizer.chat_template", Value::Text(template.to_owned())),
        ("tokenizer.ggml.tokens", Value::TextArray(vec!["<s>", "</s>"].into())),
        ("tokenizer.ggml.bos_token_id", Value::Unsigned(0)),
        ("tokenizer.ggml.eos_token_id", Value::Unsigned(1)),
    ] {
        metadata.insert(key.to_owned(), value);
    }
    ChatTemplate::from_metadata(&metadata)?.unwrap().render(&conversation())
}

/// What a cached model's template makes of the conversation, and its tokens.
fn model(file: &str) -> Option<(String, Tokenizer, Vec<u32>)> {
    let header = support::header(&support::cache().join("models").join(file))?;
    let text = ChatTemplate::from_metadata(&header.metadata).unwrap().unwrap().render(&conversation()).unwrap();
    let tokenizer = Tokenizer::from_metadata(&header.metadata).unwrap();
    let ids = tokenizer.encode(&text, SpecialTokens { add: true, parse: true }).unwrap();
    Some((text, tokenizer, ids))
}

#[test]
fn smollm2() {
    let Some((text, tokenizer, ids)) = model("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
    assert_eq!(
        text,
        format!(
            "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nHi <there><|im_end|>\n\
             <|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
        )
    );
    let mark = |name| ids.iter().filter(|id| Some(**id) == tokenizer.id(name)).count();
    assert_eq!((mark("<|im_start|>"), mark("<|im_end|>")), (5, 4));
    assert!(tokenizer.is_end(tokenizer.id("<|im_end|>").unwrap()));
    assert!(!tokenizer.is_end(tokenizer.id("<|im_start|>").unwrap()));
}

#[test]
fn qwen_2_5() {
    let Some((text, tokenizer, ids)) = model("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf") else { return };
    assert!(text.starts_with("<|im_start|>system\nYou are Qwen"), "{text}");
    assert!(text.ends_with("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"), "{text}");
    assert_eq!(ids.first().copied(), tokenizer.id("<|im_start|>"));
    assert!(tokenizer.is_end(tokenizer.id("<|endoftext|>").unwrap()));
}

#[test]
fn tinyllama() {
    let Some((text, tokenizer, ids)) = model("tinyllama-1.1b-chat-IQ2_XXS.gguf") else { return };
    assert_eq!(text, "<|user|>\nHi <there></s>\n<|assistant|>\nHello.</s>\n<|user|>\nWhy?</s>\n<|assistant|>\n");
    assert_eq!(ids.iter().filter(|id| Some(**id) == tokenizer.id("</s>")).count(), 3);
    assert_eq!(ids.first().copied(), tokenizer.begin());
}

#[test]
fn a_file_without_a_template_has_none() {
    assert!(ChatTemplate::from_metadata(&Metadata::default()).unwrap().is_none());
}

#[test]
fn python_is_understood() {
    for (template, expected) in [
        ("{{ bos_token }}{{ messages[0]['role'] }}{{ eos_token }}", "<s>user</s>"),
        ("{{ ' a b '.strip() }}|{{ 'a,b'.split(',')[1] }}|{{ 'abc'.startswith('ab') }}", "a b|b|True"),
        ("{{ 'AB'.lower() ~ 'x'.upper() }} {{ 'a-b'.replace('-', '+') }}", "abX a+b"),
        ("{{ messages[1:] | length }}{{ messages[-1].content }}", "2Why?"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "3"),
        ("{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "user"),
        ("{{ messages[0] | tojson }}", r#"{"role": "user", "content": "Hi <there>"}"#),
        ("{{ [1, 2] | tojson(indent=2) }}", "[\n  1,\n  2\n]"),
        ("{{ [[], {}, {'a': []}] | tojson(indent=1) }}", "[\n [],\n {},\n {\n  \"a\": []\n }\n]"),
        ("{{ {'b': 1, 'a': {'d': 2, 'c': 3.0}} | tojson(sort_keys=true) }}", r#"{"a": {"c": 3.0, "d": 2}, "b": 1}"#),
        ("{{ {'a': [1, 2]} | tojson(separators=(',', ':')) }}", r#"{"a":[1,2]}"#),
        ("{{ 'é🙂\"\n' | tojson(ensure_ascii=true) }}{{ 'é' | tojson }}", r#""\u00e9\ud83d\ude42\"\n""é""#),
        (
            "{{ none is iterable }}{{ [] is iterable }}{{ 'a' is iterable }}{{ nothing is iterable }}",
            "FalseTrueTrueTrue",
        ),
        ("{% if tools %}t{% endif %}{{ 'd' if strftime_now is defined else 'u' }}", "u"),
        ("{% generation %}a{% endgeneration %} {%- generation -%} b", "ab"),
        ("{% set a, b = 1, [2, 3] %}{% set c = a if b else b -%} {{ c }}{{ b == [2, 3] }}", "1True"),
        ("{% set x %}a{{ 1 }}{% endset %}{{ x }}{% set y = '{% set z = 1 %}' %}{{ y }}", "a1{% set z = 1 %}"),
        ("{% raw %}{% set x = {{ %}{% endraw %}{# {% set #}{{ {'a': {'b': 1}}['a']['b'] }}", "{% set x = {{ %}1"),
        ("{% set x = 'it\\'s' %}{{ x }} {% for a in [1] if a == 1 %}{% set x = a %}{{ x }}{% endfor %}", "it's 1"),
        ("{ %} {{ '}}' }}", "{ %} }}"),
        ("  {% if true %}\nx\n  {% endif %}\ny", "x\ny"),
        ("{{ messages[0].tool_calls is defined }}{{ messages[0].content is string }}", "FalseTrue"),
    ] {
        assert_eq!(render(template).unwrap(), expected, "{template}");
    }
}

#[test]
fn a_refusal_carries_the_templates_words() {
    let error = render("{% for m in messages %}{{ raise_exception('no ' + m.role) }}{% endfor %}").unwrap_err();
    assert_eq!(error, TextError::Refused { reason: "no user".to_owned() });
}

#[test]
fn text_is_never_escaped_for_html() {
    assert_eq!(render("{{ messages[0].content }} '\"&").unwrap(), "Hi <there> '\"&");
}

fn weather() -> Vec<Message> {
    let call = nearside_text::ToolCall {
        id: "1".to_owned(),
        name: "weather".to_owned(),
        arguments: serde_json::json!({ "city": "Oslo" }),
    };
    let mut asked = Message::new("assistant", "");
    asked.tool_calls.push(call);
    let mut answered = Message::new("tool", "rain");
    answered.tool_call_id = Some("1".to_owned());
    vec![Message::new("system", "Be brief."), Message::new("user", "Oslo?"), asked, answered]
}

fn prompt(template: &str) -> String {
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.chat_template".to_owned(), Value::Text(template.to_owned()));
    let template = ChatTemplate::from_metadata(&metadata).unwrap().unwrap();
    let tools = [serde_json::json!({ "type": "function", "function": { "name": "weather" } })];
    let messages = weather();
    template.prompt(Conversation { tools: &tools, ..Conversation::new(&messages) }).unwrap()
}

#[test]
fn a_template_that_knows_no_tools_has_them_put_in_words() {
    let text = prompt("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}");
    let (system, rest) = text.split_once("[user]").unwrap();
    assert!(
        system.starts_with("[system]Be brief.\n\nYou may call") && system.contains(r#""name":"weather""#),
        "{system}"
    );
    assert_eq!(
        rest,
        "Oslo?[assistant]<tool_call>\n{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}\n</tool_call>\
         [user]<tool_response>\nrain\n</tool_response>"
    );
}

#[test]
fn a_template_that_knows_tools_is_left_alone() {
    let template = "{% for t in tools %}{{ t.function.name }};{% endfor %}{% for m in messages %}\
                    {{ m.role }}{% for c in m.tool_calls %}({{ c.function.arguments.city }}){% endfor %},{% endfor %}";
    assert_eq!(prompt(template), "weather;system,user,assistant(Oslo),tool,");
    let granite = "{{ tools | length }}<|tool_call|>{% for m in messages %}{{ m.content }}|{% endfor %}";
    assert_eq!(
        prompt(granite),
        "1<|tool_call|>Be brief.|Oslo?|<|tool_call|>[{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}]|rain|"
    );
}

#[test]
fn arguments_are_texts_where_a_template_joins_them_to_texts() {
    let template = "{{ tools | length }}{% for m in messages %}{% for c in m.tool_calls %}\
                    {{ '>' + c.function.arguments }}{% endfor %}{% endfor %}";
    assert_eq!(prompt(template), r#"1>{"city": "Oslo"}"#);
}

#[test]
fn the_caller_s_clock_and_variables_reach_the_template() {
    let mut metadata = Metadata::default();
    let source = "{{ strftime_now('%d %B %Y') }} {{ mood }} {{ messages | length }}";
    metadata.insert("tokenizer.chat_template".to_owned(), Value::Text(source.to_owned()));
    let template = ChatTemplate::from_metadata(&metadata).unwrap().unwrap();
    let (messages, variables) = (conversation(), serde_json::json!({ "mood": "calm", "messages": [] }));
    let variables = variables.as_object();
    let text = template.render(Conversation { now: Some(0), variables, ..Conversation::new(&messages) }).unwrap();
    assert_eq!(text, "01 January 1970 calm 3");
}
