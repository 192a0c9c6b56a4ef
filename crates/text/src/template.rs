//! A conversation as the text that the model expects.

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value, context};
use nearside_gguf::{Metadata, Texts};

use crate::limits::{self, Meter};
use crate::reply::ReplyFormat;
use crate::tools_in_words::Knowledge;
use crate::{Conversation, Message, TextError, clock, guard, python};

/// The longest published template has a tenth of this.
const SOURCE_LIMIT: usize = 128 << 10;
/// Steps that a rendering may take, and how many more for each message.
const FUEL: u64 = 200_000;
const FUEL_PER_MESSAGE: u64 = 5_000;
/// Macros that call themselves stop here, before a small stack would.
const RECURSION_LIMIT: usize = 128;
const NAME: &str = "chat";

/// The model's own layout of a conversation, a Jinja program that came with the file and is not trusted: it has
/// a bounded number of steps, a bounded output, and nothing to reach but the messages.
pub struct ChatTemplate {
    environment: Environment<'static>,
    begin: String,
    end: String,
    knowledge: Knowledge,
    format: ReplyFormat,
}

impl ChatTemplate {
    /// The file's template, if it has one.
    pub fn from_metadata(metadata: &Metadata) -> Result<Option<Self>, TextError> {
        let Some(source) = metadata.text_if_present("tokenizer.chat_template")? else { return Ok(None) };
        if source.len() > SOURCE_LIMIT {
            return Err(TextError::TemplateLength { bytes: source.len(), limit: SOURCE_LIMIT });
        }
        let (knowledge, format) = (Knowledge::of(source), ReplyFormat::of_template(source));
        let source = guard::guarded(source).map_err(|reason| TextError::TemplateSyntax { reason })?;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| TextError::TemplateSyntax { reason: error.to_string() })?);
        environment.set_recursion_limit(RECURSION_LIMIT);
        python::install(&mut environment);
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| TextError::TemplateSyntax { reason: error.to_string() })?;
        let (begin, end) = (token(metadata, "bos")?, token(metadata, "eos")?);
        Ok(Some(Self { environment, begin, end, knowledge, format }))
    }

    /// How models with this template mark what they think and the tools they call.
    pub fn reply_format(&self) -> &ReplyFormat {
        &self.format
    }

    /// The text of a conversation for the model. Tools, calls and results that its template does not know are put in
    /// words, so that any model can be asked to call tools.
    pub fn prompt<'a>(&self, conversation: impl Into<Conversation<'a>>) -> Result<String, TextError> {
        let conversation = conversation.into();
        match self.knowledge.in_words(&conversation) {
            Some(messages) => self.render(Conversation { messages: &messages, ..conversation }),
            None => self.render(conversation),
        }
    }

    /// The text of a conversation as the template alone makes it.
    pub fn render<'a>(&self, conversation: impl Into<Conversation<'a>>) -> Result<String, TextError> {
        let conversation = conversation.into();
        let calls = conversation.messages.iter().any(|message| !message.tool_calls.is_empty());
        match self.render_once(&conversation) {
            // Some templates join a call's arguments to other text, as they are when a client sends them.
            Err(TextError::Template { .. }) if calls => {
                let messages: Vec<Message> = conversation.messages.iter().map(with_texts_for_arguments).collect();
                self.render_once(&Conversation { messages: &messages, ..conversation })
            }
            rendered => rendered,
        }
    }

    fn render_once(&self, conversation: &Conversation<'_>) -> Result<String, TextError> {
        let meter = Arc::new(Meter::new(bytes(conversation)));
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel(conversation)));
        limits::install(&mut environment, &meter);
        python::install_json(&mut environment, &meter);
        if let Some(now) = conversation.now {
            environment.add_function("strftime_now", move |format: &str| {
                meter.hold(format.len().saturating_mul(16)).map(|()| clock::format(now, format))
            });
        }
        let template = environment.get_template(NAME).map_err(|error| failure(&error))?;
        template.render(self.context(conversation)).map_err(|error| failure(&error))
    }

    /// What the template sees.
    fn context(&self, conversation: &Conversation<'_>) -> Value {
        let tools = (!conversation.tools.is_empty()).then(|| Value::from(Serde(conversation.tools)));
        let own = context! {
            messages => Value::from(Serde(conversation.messages)),
            tools => tools,
            documents => Value::from(()),
            add_generation_prompt => conversation.add_generation_prompt,
            bos_token => self.begin.as_str(),
            eos_token => self.end.as_str(),
        };
        match conversation.variables {
            Some(variables) => context! { ..own, ..Value::from(Serde(variables)) },
            None => own,
        }
    }
}

fn with_texts_for_arguments(message: &Message) -> Message {
    let mut message = message.clone();
    for call in &mut message.tool_calls {
        call.arguments = python::dumps(&call.arguments).into();
    }
    message
}

/// How long a conversation is, about.
fn bytes(conversation: &Conversation<'_>) -> usize {
    let of_call = |call: &crate::ToolCall| call.name.len() + call.arguments.to_string().len();
    let of_message = |message: &Message| {
        let calls: usize = message.tool_calls.iter().map(of_call).sum();
        message.role.len() + message.content.len() + message.thinking.len() + calls
    };
    let messages: usize = conversation.messages.iter().map(of_message).sum();
    let tools: usize = conversation.tools.iter().map(|tool| tool.to_string().len()).sum();
    let variables = conversation.variables.into_iter().flatten();
    messages + tools + variables.map(|(key, value)| key.len() + value.to_string().len()).sum::<usize>()
}

fn fuel(conversation: &Conversation<'_>) -> u64 {
    let calls: usize = conversation.messages.iter().map(|message| message.tool_calls.len()).sum();
    FUEL + FUEL_PER_MESSAGE * (conversation.messages.len() + conversation.tools.len() + calls) as u64
}

/// The text of the token that a metadata key names.
fn token(metadata: &Metadata, name: &str) -> Result<String, TextError> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(id) = metadata.unsigned_if_present(&key)? else { return Ok(String::new()) };
    let tokens = metadata.texts_if_present("tokenizer.ggml.tokens")?;
    let token = tokens.and_then(|tokens| tokens.get(usize::try_from(id).ok()?));
    let tokens = tokens.map_or(0, Texts::len);
    token.map(str::to_owned).ok_or(TextError::SpecialOutOfRange { key, id, tokens })
}

fn failure(error: &minijinja::Error) -> TextError {
    if let Some(reason) = python::raised(error) {
        return TextError::Refused { reason };
    }
    let reason = match error.kind() {
        ErrorKind::OutOfFuel => "it does more than a template needs".to_owned(),
        ErrorKind::WriteFailure => "it writes more than a template needs".to_owned(),
        _ => error.to_string(),
    };
    TextError::Template { reason }
}
