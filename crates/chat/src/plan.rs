//! What the engine is given for a request.

use nearside_engine::backend::TokenId;
use nearside_engine::sampling::nth_seed;
use nearside_engine::{
    Constraint, ContextPolicy, Engine, EngineError, GenerateOptions, Sampling, Speculation, Thought,
};
use nearside_text::Conversation;
use nearside_text::reply::ReplyParser;
use nearside_wire::{ChatRequest, FunctionTool, ResponseFormat, ToolChoice, WireError};
use serde_json::{Map, Value};

use crate::Speaker;
use crate::calls::one_call;
use crate::conversation::messages;
use crate::refusal::refuse;

/// The field that names what may be called.
const TOOLS: &str = "tools";
/// Whether the model thinks before it speaks, for templates that ask.
const THINKING: &str = "enable_thinking";

/// What holds where a request says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// The seed.
    pub seed: u64,
    /// The most tokens of an answer.
    pub max_tokens: usize,
    /// Seconds since 1970, for templates that write the date.
    pub now: i64,
    /// Whether a conversation that outgrows the context loses its oldest tokens, the system prompt excepted.
    pub slides: bool,
    /// Where tokens are foreseen from. The answer is the same without.
    pub speculation: Speculation,
}

/// What the engine is given for a request.
pub struct Plan {
    prompt: Vec<TokenId>,
    options: GenerateOptions,
    parser: ReplyParser,
    answers: usize,
    logprobs: bool,
    /// The field that the constraint comes from.
    constrained_by: &'static str,
}

impl Plan {
    /// Reads a request that was validated.
    pub fn new(request: &ChatRequest, engine: &Engine, defaults: Defaults) -> Result<Self, WireError> {
        if request.attachments() > 0 {
            return Err(WireError::field("messages", "holds parts that are not text; this model reads text only"));
        }
        let choice = request.tool_choice()?;
        let functions = if choice == ToolChoice::None { Vec::new() } else { request.functions()? };
        let form = request.response_format()?;
        let must_call = matches!(choice, ToolChoice::Required | ToolChoice::Named(_));
        if must_call && form != ResponseFormat::Text {
            return Err(WireError::field("response_format", "cannot be asked for where a tool must be called"));
        }
        let constrained = must_call || form != ResponseFormat::Text;

        let tools = if functions.is_empty() { &[][..] } else { list(request, "tools") };
        let messages = messages(request);
        let mut variables = object(request, "chat_template_kwargs");
        if constrained {
            // Thoughts come before what has a form, and cost tokens: only who asks for both waits for both.
            variables.entry(THINKING).or_insert(Value::Bool(false));
        }
        let conversation = Conversation {
            tools,
            variables: Some(&variables),
            now: Some(defaults.now),
            ..Conversation::new(&messages)
        };
        let when_full = if defaults.slides {
            ContextPolicy::Slide { keep: engine.system_tokens(conversation).map_err(refuse)? }
        } else {
            ContextPolicy::Stop
        };
        let text = engine.chat_text(conversation).map_err(refuse)?;
        let prompt = engine.layout_tokens(&text).map_err(refuse)?;

        let format = engine.reply_format();
        let thought = match format.opened_by(&text) {
            Some(close) => Some(Thought { open: None, close: close.to_owned() }),
            None if variables.get(THINKING) == Some(&Value::Bool(true)) => format
                .thought_texts()
                .map(|(open, close)| Thought { open: Some(open.to_owned()), close: close.to_owned() }),
            None => None,
        };
        let constraint = match &choice {
            ToolChoice::Required => Some(one_call(&functions, &format)).transpose(),
            ToolChoice::Named(name) => {
                let named: Vec<FunctionTool> = functions.iter().filter(|one| one.name == *name).cloned().collect();
                Some(one_call(&named, &format)).transpose()
            }
            ToolChoice::None | ToolChoice::Auto => Ok(formed(form)),
        };
        let constraint = constraint.map_err(|error| unkept(TOOLS, &error))?;
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        let parser = ReplyParser::new(&format, names, &text);
        Ok(Self {
            options: GenerateOptions {
                constraint,
                thought,
                shown_marks: format.marks(),
                when_full,
                speculation: defaults.speculation,
                ..options(request, defaults)?
            },
            prompt,
            parser,
            answers: request.answers(),
            logprobs: request.logprobs == Some(true),
            constrained_by: if must_call { TOOLS } else { "response_format" },
        })
    }

    /// The conversation, laid out.
    pub fn prompt(&self) -> &[TokenId] {
        &self.prompt
    }

    /// How many answers were asked for.
    pub fn answers(&self) -> usize {
        self.answers
    }

    /// Whether tokens are to be reported with their probabilities.
    pub fn logprobs(&self) -> bool {
        self.logprobs
    }

    /// How one of the answers is generated: the first by the seed, the others by seeds that follow from it.
    pub fn options(&self, answer: usize) -> GenerateOptions {
        let mut options = self.options.clone();
        options.sampling.seed = nth_seed(options.sampling.seed, answer);
        options
    }

    /// What makes one answer's text a message; `id` makes the ids of its calls its own.
    pub fn speaker(&self, id: &str) -> Speaker {
        Speaker::new(self.parser.clone(), id)
    }

    /// An engine's error as an answer to this request.
    pub fn refuse(&self, error: EngineError) -> WireError {
        match error {
            error @ EngineError::Constraint { .. } => unkept(self.constrained_by, &error),
            other => refuse(other),
        }
    }
}

/// A field asks for a form that no answer can be given.
fn unkept(field: &'static str, error: &EngineError) -> WireError {
    WireError::field(field, format!("cannot be kept to: {error}"))
}

/// The constraint that gives an answer its form.
fn formed(form: ResponseFormat) -> Option<Constraint> {
    match form {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(Constraint::JsonObject),
        ResponseFormat::JsonSchema(schema) => Some(Constraint::JsonSchema(schema.to_string())),
        ResponseFormat::Regex(pattern) => Some(Constraint::Regex(pattern)),
        ResponseFormat::Lark(grammar) => Some(Constraint::Lark(grammar)),
    }
}

fn options(request: &ChatRequest, defaults: Defaults) -> Result<GenerateOptions, WireError> {
    let usual = Sampling::default();
    let count = |value: Option<i64>, usual: usize| value.and_then(|value| usize::try_from(value).ok()).unwrap_or(usual);
    let part = |value: Option<f64>, usual: f32| value.map_or(usual, |value| value as f32);
    Ok(GenerateOptions {
        sampling: Sampling {
            temperature: part(request.temperature, usual.temperature),
            top_k: count(request.top_k, usual.top_k),
            top_p: part(request.top_p, usual.top_p),
            min_p: part(request.min_p, usual.min_p),
            seed: request.seed.map_or(defaults.seed, i64::cast_unsigned),
            repetition_penalty: part(request.repetition_penalty, usual.repetition_penalty),
            frequency_penalty: part(request.frequency_penalty, usual.frequency_penalty),
            presence_penalty: part(request.presence_penalty, usual.presence_penalty),
            ..usual
        },
        max_tokens: request.token_limit().unwrap_or(defaults.max_tokens),
        logit_bias: request.logit_bias()?,
        stop: request.stop_strings(),
        top_logprobs: count(request.top_logprobs, 0),
        // Not OpenAI's, but called so by every local server that has it; measurements need it.
        ignore_end: request.extra.get("ignore_eos") == Some(&Value::Bool(true)),
        ..GenerateOptions::default()
    })
}

fn list<'a>(request: &'a ChatRequest, field: &str) -> &'a [Value] {
    request.extra.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn object(request: &ChatRequest, field: &str) -> Map<String, Value> {
    request.extra.get(field).and_then(Value::as_object).cloned().unwrap_or_default()
}
