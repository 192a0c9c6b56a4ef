//! The static site server: the built demo, its configuration and the cached models, cross-origin isolated.

mod http;
mod path;
mod range;

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::{Head, NoRequest, Request};
use range::Asked;

use crate::context::Context;
use crate::error::{Doing, Result, XtaskError};
use crate::models::{self, Catalogue};

const QUIET_AFTER: Duration = Duration::from_mins(1);

/// The Worker that the page is told of.
#[derive(Debug, Clone)]
pub(crate) struct Far {
    pub(crate) url: String,
    pub(crate) token: String,
}

/// What is served.
#[derive(Debug)]
pub(crate) struct Site {
    root: PathBuf,
    models: PathBuf,
    configuration: Vec<u8>,
    isolated: bool,
}

impl Site {
    /// The site of a built folder, with every model that is in the cache.
    pub(crate) fn new(context: &Context, root: PathBuf, far: Option<&Far>, isolated: bool) -> Result<Self> {
        let mut list = Vec::new();
        for model in &Catalogue::read(context)?.models {
            let path = context.models().join(&model.file);
            if models::cached(context, model)? {
                let bytes = fs::metadata(&path).doing("read", &path)?.len();
                let name = format!("{} ({})", model.name, model.quantization);
                let url = format!("/models/{}", model.file);
                list.push(serde_json::json!({
                    "id": model.id, "name": name, "url": url, "sha256": model.sha256, "bytes": bytes
                }));
            }
        }
        let far = far.map(|far| serde_json::json!({ "url": far.url, "token": far.token }));
        let configuration = serde_json::json!({ "models": list, "worker": far }).to_string().into_bytes();
        Ok(Self { root, models: context.models(), configuration, isolated })
    }

    /// Serves until the process ends, each connection on a thread of its own.
    pub(crate) fn serve(self, listener: &TcpListener) {
        let site = Arc::new(self);
        for stream in listener.incoming().flatten() {
            let site = Arc::clone(&site);
            std::thread::spawn(move || site.talk(&stream));
        }
    }

    fn talk(&self, stream: &TcpStream) {
        // A failed setting costs speed or patience, not correctness.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(QUIET_AFTER));
        let mut input = BufReader::new(stream);
        loop {
            let (last, written) = match Request::read(&mut input) {
                Ok(request) => (request.last(), self.answer(&request, stream)),
                Err(NoRequest::Malformed) => (true, self.plain(stream, 400, "not an HTTP request\n", true)),
                Err(NoRequest::Closed) => return,
            };
            // A client that went away is nobody's fault.
            if last || written.is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request, out: impl Write) -> std::io::Result<()> {
        let body = match request.method.as_str() {
            "GET" => true,
            "HEAD" => false,
            _ => return self.plain(out, 405, "only GET and HEAD\n", true),
        };
        let Some(segments) = path::segments(&request.target) else {
            return self.plain(out, 404, "no such file\n", body);
        };
        let names: Vec<_> = segments.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["nearside.json"] => {
                let head = self.head(200).header("Content-Type", "application/json");
                send(out, head, &self.configuration, body)
            }
            ["models", name] => self.file(request, path::below(&self.models, &[(*name).to_owned()]), out, body),
            _ => self.file(request, path::below(&self.root, &segments), out, body),
        }
    }

    fn file(&self, request: &Request, path: Option<PathBuf>, out: impl Write, body: bool) -> std::io::Result<()> {
        let Some(path) = path else { return self.plain(out, 404, "no such file\n", body) };
        let Ok(file) = File::open(&path) else { return self.plain(out, 404, "no such file\n", body) };
        let length = file.metadata()?.len();
        let tag = tag(&path, length);
        let common = |head: Head| {
            head.header("Content-Type", http::media_type(&path.to_string_lossy()))
                .header("Accept-Ranges", "bytes")
                .header("ETag", &tag)
        };
        if request.header("if-none-match") == Some(tag.as_str()) {
            return send(out, common(self.head(304)), &[], false);
        }
        // A range of a file that has changed since would be joined to the wrong beginning.
        let same = request.header("if-range").is_none_or(|known| known == tag);
        match range::parse(request.header("range").filter(|_| same), length) {
            Asked::Whole => send_file(out, common(self.head(200)), file, 0, length, body),
            Asked::Part(part) => {
                let (first, last) = part.into_inner();
                let head = common(self.head(206)).header("Content-Range", format!("bytes {first}-{last}/{length}"));
                send_file(out, head, file, first, last - first + 1, body)
            }
            Asked::Outside => {
                let head = self.head(416).header("Content-Range", format!("bytes */{length}"));
                send(out, head, &[], body)
            }
        }
    }

    fn plain(&self, out: impl Write, status: u16, text: &str, body: bool) -> std::io::Result<()> {
        send(out, self.head(status).header("Content-Type", "text/plain; charset=utf-8"), text.as_bytes(), body)
    }

    fn head(&self, status: u16) -> Head {
        let head = Head::new(status).header("Cache-Control", "no-cache").header("X-Content-Type-Options", "nosniff");
        if !self.isolated {
            return head;
        }
        head.header("Cross-Origin-Opener-Policy", "same-origin")
            .header("Cross-Origin-Embedder-Policy", "require-corp")
            .header("Cross-Origin-Resource-Policy", "same-origin")
    }
}

/// Identifies a state of a file.
fn tag(path: &Path, length: u64) -> String {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("\"{length:x}-{:x}\"", changed.as_nanos())
}

fn send(mut out: impl Write, head: Head, content: &[u8], body: bool) -> std::io::Result<()> {
    let mut bytes = head.header("Content-Length", content.len()).finish();
    if body {
        bytes.extend_from_slice(content);
    }
    out.write_all(&bytes)?;
    out.flush()
}

fn send_file(
    mut out: impl Write,
    head: Head,
    mut file: File,
    first: u64,
    count: u64,
    body: bool,
) -> std::io::Result<()> {
    out.write_all(&head.header("Content-Length", count).finish())?;
    if body {
        file.seek(SeekFrom::Start(first))?;
        std::io::copy(&mut file.take(count), &mut out)?;
    }
    out.flush()
}

/// A listener on the wished port of this machine, or on any free one.
pub(crate) fn listen(wished: u16) -> Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", wished))
        .or_else(|error| if wished == 0 { Err(error) } else { TcpListener::bind(("127.0.0.1", 0)) })
        .map_err(|source| XtaskError::Io { action: "listen on", path: PathBuf::from("127.0.0.1"), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(folder: &Path, isolated: bool) -> Site {
        let models = folder.join("models");
        fs::create_dir_all(&models).unwrap();
        fs::create_dir_all(folder.join("dist")).unwrap();
        fs::write(folder.join("dist/index.html"), "<h1>hello</h1>").unwrap();
        fs::write(models.join("a.gguf"), "0123456789").unwrap();
        Site { root: folder.join("dist"), models, configuration: b"{}".to_vec(), isolated }
    }

    fn ask(site: &Site, request: &str) -> String {
        let request = Request::read(&mut request.as_bytes()).unwrap();
        let mut out = Vec::new();
        site.answer(&request, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pages_are_isolated_and_typed() {
        let folder = tempfile::tempdir().unwrap();
        let answer = ask(&site(folder.path(), true), "GET / HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("<h1>hello</h1>"), "{answer}");
        assert!(answer.contains("Cross-Origin-Opener-Policy: same-origin"), "{answer}");
        assert!(answer.contains("Cross-Origin-Embedder-Policy: require-corp"), "{answer}");
        assert!(answer.contains("text/html"), "{answer}");
        assert!(!ask(&site(folder.path(), false), "GET / HTTP/1.1\r\n\r\n").contains("Cross-Origin"));
    }

    #[test]
    fn a_model_can_be_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path(), true);
        let answer = ask(&site, "GET /models/a.gguf HTTP/1.1\r\nRange: bytes=4-\r\n\r\n");
        assert!(answer.contains(" 206 ") && answer.contains("Content-Range: bytes 4-9/10"), "{answer}");
        assert!(answer.contains("Content-Length: 6") && answer.ends_with("\r\n\r\n456789"), "{answer}");
        // Of a changed file the whole is sent.
        let answer = ask(&site, "GET /models/a.gguf HTTP/1.1\r\nRange: bytes=4-\r\nIf-Range: \"old\"\r\n\r\n");
        assert!(answer.contains(" 200 ") && answer.ends_with("0123456789"), "{answer}");
        let answer = ask(&site, "GET /models/a.gguf HTTP/1.1\r\nRange: bytes=10-\r\n\r\n");
        assert!(answer.contains(" 416 ") && answer.contains("bytes */10"), "{answer}");
    }

    #[test]
    fn other_things_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path(), true);
        assert!(ask(&site, "GET /../models/a.gguf HTTP/1.1\r\n\r\n").contains(" 404 "));
        assert!(ask(&site, "GET /models/../../x HTTP/1.1\r\n\r\n").contains(" 404 "));
        assert!(ask(&site, "POST / HTTP/1.1\r\n\r\n").contains(" 405 "));
        assert!(ask(&site, "HEAD / HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
    }
}
