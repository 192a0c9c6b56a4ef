//! As much HTTP/1.1 as a static site needs: a request's head in, a response's head out.

use std::fmt::Write as _;
use std::io::{BufRead, ErrorKind, Read};

/// A head longer than this is no browser's.
const LONGEST_HEAD: u64 = 32 * 1024;

/// A request's head. Bodies are refused with the methods that carry them.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    headers: Vec<(String, String)>,
}

/// Why there is no request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRequest {
    /// The client closed the connection or went quiet.
    Closed,
    /// What came is not HTTP, or too long.
    Malformed,
}

impl Request {
    pub(super) fn read(source: &mut impl BufRead) -> Result<Self, NoRequest> {
        let mut source = source.take(LONGEST_HEAD);
        let first = line(&mut source)?.ok_or(NoRequest::Closed)?;
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(NoRequest::Malformed);
        };
        if !version.starts_with("HTTP/1.") {
            return Err(NoRequest::Malformed);
        }
        let mut headers = Vec::new();
        loop {
            let text = line(&mut source)?.ok_or(NoRequest::Malformed)?;
            if text.is_empty() {
                break;
            }
            let (name, value) = text.split_once(':').ok_or(NoRequest::Malformed)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Self { method: method.to_owned(), target: target.to_owned(), headers })
    }

    /// A header by its lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the connection ends after this request.
    pub(super) fn last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            // A body that we do not read would be taken for the next request.
            || self.header("content-length").is_some_and(|length| length != "0")
            || self.header("transfer-encoding").is_some()
    }
}

fn line(source: &mut impl BufRead) -> Result<Option<String>, NoRequest> {
    let mut bytes = Vec::new();
    match source.read_until(b'\n', &mut bytes) {
        Ok(0) => return Ok(None),
        Ok(_) if bytes.last() == Some(&b'\n') => {}
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(NoRequest::Closed),
        Err(_) => return Err(NoRequest::Closed),
        Ok(_) => return Err(NoRequest::Malformed),
    }
    let text = String::from_utf8(bytes).map_err(|_| NoRequest::Malformed)?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A response's head.
#[derive(Debug)]
pub(super) struct Head {
    text: String,
}

impl Head {
    pub(super) fn new(status: u16) -> Self {
        let reason = match status {
            200 => "OK",
            206 => "Partial Content",
            304 => "Not Modified",
            404 => "Not Found",
            405 => "Method Not Allowed",
            416 => "Range Not Satisfiable",
            _ => "Bad Request",
        };
        Self { text: format!("HTTP/1.1 {status} {reason}\r\n") }
    }

    pub(super) fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        // Writing into a string cannot fail.
        let _ = write!(self.text, "{name}: {value}\r\n");
        self
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.text.push_str("\r\n");
        self.text.into_bytes()
    }
}

/// The type of a file, by the ending of its name.
pub(super) fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_head_and_nothing_after_it() {
        let mut bytes: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\nRange:  bytes=1-2 \r\n\r\nrest";
        let request = Request::read(&mut bytes).unwrap();
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/a"));
        assert_eq!(request.header("range"), Some("bytes=1-2"));
        assert!(!request.last());
        assert_eq!(bytes, b"rest");
    }

    #[test]
    fn refuses_what_is_not_http() {
        for bad in [
            "\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / FTP/1\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b",
        ] {
            assert_eq!(Request::read(&mut bad.as_bytes()).unwrap_err(), NoRequest::Malformed, "{bad:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(40_000));
        assert_eq!(Request::read(&mut long.as_bytes()).unwrap_err(), NoRequest::Malformed);
        assert_eq!(Request::read(&mut "".as_bytes()).unwrap_err(), NoRequest::Closed);
    }
}
