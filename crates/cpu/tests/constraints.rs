//! Two hundred answers under varied schemas, each held to an independent validator, and what the masks cost.

#[allow(dead_code, reason = "the vectors are for other tests")]
mod support;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nearside_cpu::CpuBackend;
use nearside_engine::backend::{
    AdapterId, Backend, BackendDescription, BackendError, CacheId, Counters, Executor, ExecutorOptions, HeldChoice,
    LoadProgress, LowRanks, Step, StepOutput, Ticket, WeightFile,
};
use nearside_engine::graph::Graph;
use nearside_engine::{Constraint, Engine, EngineOptions, Event, FinishReason, GenerateOptions, Sampling, Session};
use serde_json::{Value, json};

const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const SEEDS: u64 = 5;

/// What goes on between the calls of the executor: taking a token, looking for those that can only follow, masks. The
/// CPU's calls are over when they return.
#[derive(Default)]
struct Watch {
    left: Cell<Option<Instant>>,
    host: Cell<Duration>,
    choices: Cell<usize>,
}

impl Watch {
    fn enter(&self) {
        self.host.set(self.host.get() + self.left.take().map_or(Duration::ZERO, |left| left.elapsed()));
    }

    fn leave<T>(&self, result: T) -> T {
        self.left.set(Some(Instant::now()));
        result
    }
}

/// The CPU backend, watched.
struct Watched(CpuBackend, Rc<Watch>);

impl Backend for Watched {
    fn describe(&self) -> BackendDescription {
        self.0.describe()
    }

    fn load<'a>(
        &'a self,
        graph: &'a Graph,
        file: WeightFile<'a>,
        options: ExecutorOptions,
        progress: &'a mut LoadProgress<'a>,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Executor>, BackendError>> {
        async move {
            let inner = self.0.load(graph, file, options, progress).await?;
            Ok(Box::new(WatchedExecutor { inner, watch: Rc::clone(&self.1) }) as Box<dyn Executor>)
        }
        .boxed_local()
    }
}

struct WatchedExecutor {
    inner: Box<dyn Executor>,
    watch: Rc<Watch>,
}

impl Executor for WatchedExecutor {
    fn options(&self) -> ExecutorOptions {
        self.inner.options()
    }

    fn create_cache(&mut self) -> Result<CacheId, BackendError> {
        self.inner.create_cache()
    }

    fn drop_cache(&mut self, cache: CacheId) {
        self.inner.drop_cache(cache);
    }

    fn fork_cache(&mut self, from: CacheId, length: usize) -> Result<CacheId, BackendError> {
        self.inner.fork_cache(from, length)
    }

    fn submit(&mut self, step: Step<'_>) -> Result<Ticket, BackendError> {
        self.watch.enter();
        let ticket = self.inner.submit(step);
        self.watch.leave(ticket)
    }

    fn choose(&mut self, choice: HeldChoice<'_>) -> Result<Ticket, BackendError> {
        self.watch.enter();
        self.watch.choices.set(self.watch.choices.get() + 1);
        let ticket = self.inner.choose(choice);
        self.watch.leave(ticket)
    }

    fn add_adapter(&mut self, parts: &mut LowRanks<'_>) -> Result<AdapterId, BackendError> {
        self.inner.add_adapter(parts)
    }

    fn use_adapters(&mut self, active: &[(AdapterId, f32)]) -> Result<(), BackendError> {
        self.inner.use_adapters(active)
    }

    fn drop_adapter(&mut self, adapter: AdapterId) {
        self.inner.drop_adapter(adapter);
    }

    fn collect(&mut self, ticket: Ticket) -> LocalBoxFuture<'_, Result<StepOutput, BackendError>> {
        async move {
            self.watch.enter();
            let output = self.inner.collect(ticket).await;
            self.watch.leave(output)
        }
        .boxed_local()
    }

    fn steps_in_flight(&self) -> usize {
        self.inner.steps_in_flight()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}

/// An object of these properties, all of them required.
#[expect(clippy::needless_pass_by_value, reason = "schemas nest in one another")]
fn object(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().expect("properties").keys().collect();
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

/// An object of one property.
#[expect(clippy::needless_pass_by_value, reason = "schemas nest in one another")]
fn one(schema: Value) -> Value {
    object(json!({ "value": schema }))
}

fn text(most: usize) -> Value {
    json!({ "type": "string", "maxLength": most })
}

/// Forty schemas whose values are short.
fn schemas() -> Vec<Value> {
    vec![
        json!({ "type": "boolean" }),
        json!({ "type": "null" }),
        json!({ "type": "integer", "minimum": 10, "maximum": 99 }),
        json!({ "enum": ["red", "green", "blue", 7, null, [1]] }),
        json!({ "const": { "fixed": ["é", 1] } }),
        one(json!({ "type": "integer", "minimum": -20, "maximum": -3 })),
        one(json!({ "type": "integer", "exclusiveMinimum": 0, "maximum": 1_000_000 })),
        one(json!({ "type": "number", "minimum": 0, "maximum": 1 })),
        one(json!({ "type": "number", "exclusiveMinimum": -1.5, "exclusiveMaximum": 2.25 })),
        one(json!({ "type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100 })),
        one(json!({ "type": ["string", "null"], "maxLength": 8 })),
        one(json!({ "enum": ["größer", "kleiner", "日本", "\"quoted\"", "a\\b"] })),
        one(json!({ "type": "string", "pattern": "^[A-Z][a-z]{2,8}$" })),
        one(json!({ "type": "string", "pattern": "^\\d{3}-\\d{4}$" })),
        one(json!({ "type": "string", "pattern": "^(ab|cd)+x?$", "maxLength": 12 })),
        one(json!({ "type": "string", "pattern": "^[α-ω]{2,5}$" })),
        one(json!({ "type": "string", "minLength": 3, "maxLength": 6 })),
        one(json!({ "type": "string", "format": "date" })),
        one(json!({ "type": "string", "format": "ipv4" })),
        one(json!({ "type": "string", "format": "uuid" })),
        json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 9 }, "minItems": 2, "maxItems": 4 }),
        json!({ "type": "array", "items": { "enum": ["a", "b"] }, "maxItems": 3 }),
        json!({ "type": "array", "prefixItems": [{ "type": "boolean" }, { "const": "x" }], "items": false, "minItems": 2 }),
        json!({ "type": "array", "items": one(json!({ "type": "boolean" })), "minItems": 1, "maxItems": 2 }),
        json!({ "type": "array", "items": { "type": "array", "items": { "const": 1 }, "maxItems": 2 }, "maxItems": 2 }),
        object(json!({ "name": text(12), "age": { "type": "integer", "minimum": 0, "maximum": 120 } })),
        object(
            json!({ "city": text(12), "country": { "enum": ["FR", "DE", "JP"] }, "capital": { "type": "boolean" } }),
        ),
        object(json!({ "outer": object(json!({ "inner": object(json!({ "deep": { "type": "boolean" } })) })) })),
        object(
            json!({ "point": object(json!({ "x": { "enum": [0, 1] }, "y": { "enum": [0, 1] } })), "label": text(6) }),
        ),
        object(
            json!({ "with \"quotes\"": { "type": "boolean" }, "schlüssel": { "const": "ü" }, "鍵": { "type": "null" } }),
        ),
        json!({ "type": "object", "properties": { "a": { "type": "boolean" }, "b": { "type": "null" } },
            "additionalProperties": false }),
        json!({ "type": "object", "properties": { "a": { "type": "boolean" }, "b": { "enum": [1, 2] } },
            "required": ["b"], "additionalProperties": false }),
        json!({ "type": "object", "properties": { "id": { "type": "integer", "minimum": 1, "maximum": 9 } },
            "required": ["id"], "additionalProperties": { "type": "boolean" }, "maxProperties": 2 }),
        json!({ "anyOf": [{ "type": "boolean" }, one(json!({ "const": 1 }))] }),
        json!({ "oneOf": [{ "type": "string", "maxLength": 5 }, { "type": "boolean" }] }),
        json!({ "allOf": [{ "type": "integer", "minimum": 5 }, { "maximum": 50 }] }),
        json!({ "$defs": { "leaf": { "enum": ["l", "r"] } }, "type": "array", "items": { "$ref": "#/$defs/leaf" },
            "minItems": 1, "maxItems": 3 }),
        json!({ "$defs": { "node": { "type": "object", "properties": { "end": { "const": true } }, "required": ["end"],
            "additionalProperties": false } }, "type": "object", "properties": { "left": { "$ref": "#/$defs/node" },
            "right": { "$ref": "#/$defs/node" } }, "required": ["left", "right"], "additionalProperties": false }),
        object(
            json!({ "steps": { "type": "array", "items": text(10), "minItems": 1, "maxItems": 2 }, "done": { "const": false } }),
        ),
        object(json!({ "kind": { "const": "reply" }, "score": { "type": "number", "minimum": 0, "maximum": 10 },
            "tags": { "type": "array", "items": { "enum": ["x", "y", "z"] }, "maxItems": 2 } })),
    ]
}

fn answer(engine: &mut Engine, session: &mut Session, prompt: &[u32], schema: &Value, seed: u64) -> (String, usize) {
    let options = GenerateOptions {
        constraint: Some(Constraint::JsonSchema(schema.to_string())),
        sampling: Sampling { temperature: 1.0, seed, ..Sampling::default() },
        max_tokens: 160,
        ..GenerateOptions::default()
    };
    let mut generation = engine.generate(session, prompt, options).unwrap_or_else(|error| panic!("{schema}: {error}"));
    let (mut text, mut finish) = (String::new(), None);
    while let Some(event) = pollster::block_on(generation.next()).unwrap_or_else(|error| panic!("{schema}: {error}")) {
        match event {
            Event::Token(token) => text.push_str(&token.text),
            Event::Finished(end) => finish = Some(end),
            _ => {}
        }
    }
    let finish = finish.expect("an answer ends with `Finished`");
    text.push_str(&finish.text_tail);
    assert_eq!(finish.reason, FinishReason::Stop, "{schema} was not done with {text}");
    (text, finish.completion_tokens)
}

#[test]
fn two_hundred_answers_are_valid_against_their_schemas() {
    let Some(file) = support::model(MODEL) else { return };
    let watch: Rc<Watch> = Rc::default();
    let backend = Watched(CpuBackend::new(), Rc::clone(&watch));
    let options = EngineOptions { context: Some(512), ..EngineOptions::default() };
    let mut progress = |_, _| ControlFlow::Continue(());
    let mut engine = pollster::block_on(Engine::load(&file, &backend, options, &mut progress)).expect("a sound model");
    let message = nearside_text::Message::new("user", "Give me an example as JSON.");
    let prompt = engine.chat_tokens(&[message]).expect("a plain prompt");
    let mut session = engine.create_session().expect("room for a session");

    let started = Instant::now();
    let (mut answers, mut tokens, mut distinct) = (0, 0, 0);
    for schema in schemas() {
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .unwrap_or_else(|error| panic!("{schema}: {error}"));
        let mut texts = Vec::new();
        for seed in 0..SEEDS {
            // What was done between two answers is no part of either.
            watch.left.take();
            let (text, length) = answer(&mut engine, &mut session, &prompt, &schema, seed);
            let value: Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{schema} gave {text}, no JSON: {error}"));
            assert!(validator.is_valid(&value), "{schema} does not accept {text}");
            answers += 1;
            tokens += length;
            texts.push(text);
        }
        texts.sort_unstable();
        texts.dedup();
        distinct += texts.len();
    }
    assert_eq!(answers, 200);
    // Were the answers all alike, their validity would show little.
    assert!(distinct > 100, "only {distinct} of {answers} answers differ within their schema");
    let choices = watch.choices.get();
    println!(
        "{answers} valid answers of {tokens} tokens ({choices} chosen, {} could only follow) in {:.1} s; following the form and the text takes {:.0} µs for each token",
        tokens.saturating_sub(choices),
        started.elapsed().as_secs_f64(),
        watch.host.get().as_secs_f64() * 1e6 / tokens as f64,
    );
}
