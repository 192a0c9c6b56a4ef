//! The caller's bearer token.

use std::hint::black_box;

use nearside_wire::WireError;
use worker::Request;

use crate::{failed, settings::Settings};

/// Refuses a caller without the right token.
pub(crate) fn check(request: &Request, settings: &Settings) -> Result<(), WireError> {
    let header = request.headers().get("authorization").map_err(failed)?.unwrap_or_default();
    let (scheme, token) = header.split_once(' ').unwrap_or_default();
    let right =
        scheme.eq_ignore_ascii_case("bearer") && same(settings.client_token.as_bytes(), token.trim().as_bytes());
    if right { Ok(()) } else { Err(WireError::Unauthorized) }
}

/// Compares in a time that does not tell how much of the token was right.
fn same(expected: &[u8], given: &[u8]) -> bool {
    let mut difference = u8::from(expected.len() != given.len());
    for (place, byte) in expected.iter().enumerate() {
        difference = black_box(difference | (byte ^ given.get(place).unwrap_or(&0)));
    }
    difference == 0
}
