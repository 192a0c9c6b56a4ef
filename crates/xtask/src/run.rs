//! Running other programs: their lines streamed with a prefix, their failure told with the command that failed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;

use crate::context::Context;
use crate::error::{Result, XtaskError};
use crate::output;

/// What only makes sense as WebAssembly.
pub(crate) const WEB_PACKAGES: [&str; 2] = ["nearside-web", "nearside-worker"];

/// A program to run, and how to speak of it.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
    shown: String,
    label: String,
    remedy: String,
}

impl Run {
    /// A program by its name or path.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        let remedy = format!("is {name} installed? `cargo xtask setup` says what is missing");
        Self { command, shown: name.clone(), label: name, remedy }
    }

    /// Cargo itself, with the native target folder of the cache.
    pub(crate) fn cargo(target: &Path) -> Self {
        // A cargo that runs us leaves its own variables behind; they would change what the inner cargo builds.
        let mut run = Self::new("cargo");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_BIN_NAME" {
                run.command.env_remove(&name);
            }
        }
        run.env("CARGO_TARGET_DIR", target)
    }

    /// A cargo command over all native crates. Cargo joins the features of the crates it is asked for: asking for the
    /// same ones every time keeps it from building their dependencies once for each question.
    pub(crate) fn cargo_native(context: &Context, command: &str) -> Self {
        let run = Self::cargo(&context.target()).args([command, "--locked", "--workspace"]);
        WEB_PACKAGES.iter().fold(run, |run, package| run.args(["--exclude", package])).folder(context.root())
    }

    /// The word that goes before each of its lines.
    pub(crate) fn label(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// The command as one would type it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Gives up the parts, for who supervises the process itself.
    pub(crate) fn into_parts(self) -> (Command, String) {
        (self.command, self.shown)
    }

    /// Runs it with its lines streamed; a failure is an error.
    pub(crate) fn stream(self) -> Result<()> {
        self.stream_with(|_| {})
    }

    /// The same, with each line also given to `seen`.
    pub(crate) fn stream_with(self, seen: impl FnMut(&str)) -> Result<()> {
        let shown = self.shown.clone();
        let status = self.observe(seen)?;
        success(&shown, status, String::new())
    }

    /// Runs it with its lines streamed and gives its exit status, whatever that is.
    pub(crate) fn observe(mut self, mut seen: impl FnMut(&str)) -> Result<ExitStatus> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|source| self.start_error(source))?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            forward(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            forward(stderr, sender);
        }
        for line in lines {
            output::line(&self.label, &line);
            seen(&line);
        }
        child.wait().map_err(|source| self.start_error(source))
    }

    /// Runs it silently and gives what it printed; a failure shows its error output.
    pub(crate) fn capture(mut self) -> Result<String> {
        let output = self.command.output().map_err(|source| self.start_error(source))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let detail = if errors.trim().is_empty() { String::new() } else { format!(":\n{}", errors.trim_end()) };
        success(&self.shown, output.status, detail)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs it with its standard output as a reader; `finish` must be called after reading.
    pub(crate) fn reader(mut self) -> Result<Reading> {
        self.command.stdout(Stdio::piped());
        let mut child = self.command.spawn().map_err(|source| self.start_error(source))?;
        let stdout =
            child.stdout.take().ok_or_else(|| XtaskError::Stopped(format!("`{}` has no output", self.shown)))?;
        Ok(Reading { child, stdout, shown: self.shown })
    }

    fn start_error(&self, source: std::io::Error) -> XtaskError {
        XtaskError::Start { command: self.shown.clone(), remedy: self.remedy.clone(), source }
    }
}

/// A running program whose output is being read.
pub(crate) struct Reading {
    child: std::process::Child,
    stdout: std::process::ChildStdout,
    shown: String,
}

impl Reading {
    pub(crate) fn stdout(&mut self) -> &mut impl Read {
        &mut self.stdout
    }

    /// Waits for its end; a failure is an error.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { mut child, stdout, shown } = self;
        drop(stdout);
        let status = child.wait().map_err(|source| XtaskError::Start {
            command: shown.clone(),
            remedy: "run the command again".to_owned(),
            source,
        })?;
        success(&shown, status, String::new())
    }
}

/// Sends every line of `source` on, from a thread of its own, so that neither stream blocks the other.
pub(crate) fn forward(source: impl Read + Send + 'static, sender: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while matches!(source.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
}

fn success(shown: &str, status: ExitStatus, detail: String) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let status = status.code().map_or_else(|| "a signal".to_owned(), |code| format!("exit status {code}"));
    Err(XtaskError::Failed { command: shown.to_owned(), status, detail })
}
