//! A conversation as the text that the model expects.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value, context};
use nearside_gguf::Metadata;

use crate::{Conversation, TextError, clock, guard, python};

/// The longest published template has a tenth of this.
const SOURCE_LIMIT: usize = 128 << 10;
/// Far longer than any context.
const OUTPUT_LIMIT: usize = 16 << 20;
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
}

impl ChatTemplate {
    /// The file's template, if it has one.
    pub fn from_metadata(metadata: &Metadata) -> Result<Option<Self>, TextError> {
        let Some(source) = metadata.text_if_present("tokenizer.chat_template")? else { return Ok(None) };
        if source.len() > SOURCE_LIMIT {
            return Err(TextError::TemplateLength { bytes: source.len(), limit: SOURCE_LIMIT });
        }
        let source = guard::guarded(source).map_err(|reason| TextError::TemplateSyntax { reason })?;
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| TextError::TemplateSyntax { reason: error.to_string() })?);
        environment.set_recursion_limit(RECURSION_LIMIT);
        python::install(&mut environment);
        guard::install(&mut environment);
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| TextError::TemplateSyntax { reason: error.to_string() })?;
        Ok(Some(Self { environment, begin: token(metadata, "bos")?, end: token(metadata, "eos")? }))
    }

    /// The text of a conversation.
    pub fn render<'a>(&self, conversation: impl Into<Conversation<'a>>) -> Result<String, TextError> {
        let conversation = conversation.into();
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel(&conversation)));
        if let Some(now) = conversation.now {
            environment.add_function("strftime_now", move |format: &str| clock::format(now, format));
        }
        let printed = AtomicUsize::new(0);
        // Text that a macro or a block prints is held in memory first, where the output's bound does not see it.
        environment.set_formatter(move |out, state, value| {
            let length = value.as_str().map_or(0, str::len);
            if printed.fetch_add(length, Ordering::Relaxed) + length > OUTPUT_LIMIT {
                return Err(ErrorKind::WriteFailure.into());
            }
            minijinja::escape_formatter(out, state, value)
        });
        let template = environment.get_template(NAME).map_err(|error| failure(&error))?;
        let mut output = Bounded(Vec::new());
        let context = self.context(&conversation);
        template.render_captured_to(context, &mut output).map_err(|error| failure(&error))?;
        String::from_utf8(output.0).map_err(|error| TextError::Template { reason: error.to_string() })
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

fn fuel(conversation: &Conversation<'_>) -> u64 {
    let calls: usize = conversation.messages.iter().map(|message| message.tool_calls.len()).sum();
    FUEL + FUEL_PER_MESSAGE * (conversation.messages.len() + conversation.tools.len() + calls) as u64
}

/// The text of the token that a metadata key names.
fn token(metadata: &Metadata, name: &str) -> Result<String, TextError> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(id) = metadata.unsigned_if_present(&key)? else { return Ok(String::new()) };
    let tokens = metadata.texts_if_present("tokenizer.ggml.tokens")?.unwrap_or_default();
    let token = usize::try_from(id).ok().and_then(|id| tokens.get(id));
    token.cloned().ok_or(TextError::SpecialOutOfRange { key, id, tokens: tokens.len() })
}

fn failure(error: &minijinja::Error) -> TextError {
    if let Some(reason) = python::raised(error) {
        return TextError::Refused { reason };
    }
    let reason = match error.kind() {
        ErrorKind::OutOfFuel => "it takes more steps than a template needs".to_owned(),
        ErrorKind::WriteFailure => format!("it writes more than {OUTPUT_LIMIT} bytes"),
        _ => error.to_string(),
    };
    TextError::Template { reason }
}

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_LIMIT {
            return Err(io::Error::other("too much output"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
