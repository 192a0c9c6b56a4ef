//! Which pages may use the Worker.

use nearside_wire::WireError;
use worker::{Env, Request, Response};

use crate::settings::text;

/// The origin a browser named, and whether it is on the list.
pub(crate) struct Origin {
    /// Absent for callers that are no browser; they still need the token.
    named: Option<String>,
    listed: bool,
}

impl Origin {
    pub(crate) fn of(request: &Request, env: &Env) -> Self {
        let named = request.headers().get("origin").ok().flatten();
        let list = text(env, "ALLOWED_ORIGINS").unwrap_or_default();
        let listed = named.as_deref().is_some_and(|named| list.split(',').any(|origin| origin.trim() == named));
        Self { named, listed }
    }

    pub(crate) fn check(&self) -> Result<(), WireError> {
        match &self.named {
            Some(origin) if !self.listed => {
                Err(WireError::OriginRefused { origin: origin.chars().take(200).collect() })
            }
            _ => Ok(()),
        }
    }

    /// Lets the page read the answer, errors included, if its origin is on the list.
    pub(crate) fn allow(&self, response: Response) -> worker::Result<Response> {
        let headers = response.headers().clone();
        headers.append("vary", "Origin")?;
        if let Some(origin) = self.named.as_deref().filter(|_| self.listed) {
            headers.set("access-control-allow-origin", origin)?;
            headers.set("access-control-allow-methods", "GET, POST, OPTIONS")?;
            headers.set("access-control-allow-headers", "authorization, content-type")?;
            headers.set("access-control-expose-headers", "x-nearside-cost-microdollars")?;
            headers.set("access-control-max-age", "600")?;
        }
        Ok(response.with_headers(headers))
    }
}
