//! What the deployment configures. Nothing here ever comes from a request.

use std::{fmt::Display, str::FromStr};

use nearside_wire::WireError;
use worker::Env;

use crate::price::Prices;

/// The Worker's configuration.
pub(crate) struct Settings {
    /// The upstream's base, without a slash at its end.
    pub(crate) upstream_url: String,
    pub(crate) upstream_key: Option<String>,
    pub(crate) upstream_model: String,
    pub(crate) upstream_timeout_seconds: u64,
    pub(crate) client_token: String,
    pub(crate) spend_limit: u64,
    pub(crate) prices: Prices,
    pub(crate) body_limit: usize,
    pub(crate) completion_limit: usize,
}

impl Settings {
    pub(crate) fn read(env: &Env) -> Result<Self, WireError> {
        let upstream_url = required(env, "UPSTREAM_URL", "the base address of an OpenAI-compatible server")?;
        if !(upstream_url.starts_with("https://") || upstream_url.starts_with("http://")) {
            return Err(wrong("UPSTREAM_URL", "begins with neither https:// nor http://"));
        }
        Ok(Self {
            upstream_url: upstream_url.trim_end_matches('/').to_owned(),
            upstream_key: text(env, "UPSTREAM_KEY"),
            upstream_model: required(env, "UPSTREAM_MODEL", "the name of the upstream's model")?,
            upstream_timeout_seconds: number(env, "UPSTREAM_TIMEOUT_SECONDS")?.unwrap_or(60),
            client_token: required(env, "CLIENT_TOKEN", "the secret that callers show as their bearer token")?,
            spend_limit: needed(env, "SPEND_LIMIT_MICRODOLLARS", "what may be spent in a day")?,
            prices: Prices {
                input: needed(env, "PRICE_INPUT_MICRODOLLARS_PER_1K", "what 1,000 tokens read cost")?,
                output: needed(env, "PRICE_OUTPUT_MICRODOLLARS_PER_1K", "what 1,000 tokens written cost")?,
            },
            body_limit: number(env, "MAX_BODY_BYTES")?.unwrap_or(1 << 20),
            completion_limit: number(env, "MAX_COMPLETION_TOKENS")?.unwrap_or(2048),
        })
    }
}

/// A variable or secret; absent and empty are the same.
pub(crate) fn text(env: &Env, name: &str) -> Option<String> {
    env.var(name).ok().map(|value| value.to_string().trim().to_owned()).filter(|value| !value.is_empty())
}

fn required(env: &Env, name: &str, meaning: &str) -> Result<String, WireError> {
    text(env, name).ok_or_else(|| WireError::Misconfigured { problem: format!("{name} is not set; it is {meaning}") })
}

fn number<T: FromStr>(env: &Env, name: &str) -> Result<Option<T>, WireError>
where
    T::Err: Display,
{
    text(env, name).map(|value| value.parse().map_err(|error: T::Err| wrong(name, &error.to_string()))).transpose()
}

fn needed<T: FromStr>(env: &Env, name: &str, meaning: &str) -> Result<T, WireError>
where
    T::Err: Display,
{
    number(env, name)?
        .ok_or_else(|| WireError::Misconfigured { problem: format!("{name} is not set; it is {meaning}") })
}

fn wrong(name: &str, problem: &str) -> WireError {
    WireError::Misconfigured { problem: format!("{name} cannot be used: {problem}") }
}
