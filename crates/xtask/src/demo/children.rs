//! The demo's processes, each in a group of its own so that ending it ends what it started too.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::error::{Result, XtaskError};
use crate::output;
use crate::run::Run;

/// How long a process may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the processes and the person at the keyboard do.
#[derive(Debug)]
enum Event {
    Line { child: &'static str, text: String },
    Ended { child: &'static str, status: std::io::Result<ExitStatus> },
    Interrupted,
}

#[derive(Debug)]
struct Child {
    name: &'static str,
    group: Pid,
    ended: bool,
}

/// All processes. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Children {
    events: Receiver<Event>,
    sender: Sender<Event>,
    all: Vec<Child>,
}

/// Why waiting ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The process ended by itself.
    Ended(ExitStatus),
    /// The person wants to stop.
    Interrupted,
}

impl Children {
    /// No processes yet; from here on, Ctrl-C and a request to terminate end them all.
    pub(super) fn new() -> Result<Self> {
        let (sender, events) = mpsc::channel();
        let interrupt = sender.clone();
        ctrlc::set_handler(move || {
            // When nobody listens any more, the processes are ending already.
            let _ = interrupt.send(Event::Interrupted);
        })
        .map_err(|error| XtaskError::Stopped(format!("cannot watch for Ctrl-C: {error}")))?;
        Ok(Self { events, sender, all: Vec::new() })
    }

    /// Starts a process whose lines are shown under its name.
    pub(super) fn start(&mut self, name: &'static str, run: Run) -> Result<()> {
        let (mut command, shown) = run.into_parts();
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut process = command.spawn().map_err(|source| XtaskError::Start {
            command: shown,
            remedy: "`cargo xtask setup` says what is missing".to_owned(),
            source,
        })?;
        let group = Pid::from_raw(process.id() as i32);
        self.all.push(Child { name, group, ended: false });
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            process.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
            process.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        ];
        let mut readers = Vec::new();
        for stream in outputs.into_iter().flatten() {
            let (line_sender, lines) = mpsc::channel();
            crate::run::forward(stream, line_sender);
            let sender = self.sender.clone();
            readers.push(std::thread::spawn(move || {
                for text in lines {
                    if sender.send(Event::Line { child: name, text }).is_err() {
                        break;
                    }
                }
            }));
        }
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            let status = process.wait();
            // What it said last comes before the news of its end, unless something it started holds the pipes open.
            let deadline = Instant::now() + Duration::from_millis(500);
            while readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = sender.send(Event::Ended { child: name, status });
        });
        Ok(())
    }

    /// Waits until a process has said that it listens, and gives the address.
    pub(super) fn address(&mut self, name: &'static str, patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            match self.next(deadline)? {
                None => {
                    let waited = output::duration(patience);
                    return Err(XtaskError::Stopped(format!("{name} did not say in {waited} that it listens")));
                }
                Some(Event::Line { child, text }) if child == name => {
                    if let Some((_, address)) = text.split_once("listening on ") {
                        return Ok(address.trim().trim_end_matches('/').to_owned());
                    }
                }
                Some(Event::Ended { child, status }) => return Err(died(child, status)),
                Some(Event::Interrupted) => return Err(XtaskError::Stopped("interrupted".to_owned())),
                Some(Event::Line { .. }) => {}
            }
        }
    }

    /// Waits until the awaited process ends, or the person wants to stop; the end of any other is an error.
    pub(super) fn wait(&mut self, awaited: Option<&str>, patience: Option<Duration>) -> Result<Outcome> {
        let deadline = Instant::now() + patience.unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
        loop {
            match self.next(deadline)? {
                None => return Err(XtaskError::Stopped("it took too long".to_owned())),
                Some(Event::Ended { child, status: Ok(status) }) if Some(child) == awaited => {
                    return Ok(Outcome::Ended(status));
                }
                Some(Event::Ended { child, status }) => return Err(died(child, status)),
                Some(Event::Interrupted) => return Ok(Outcome::Interrupted),
                Some(Event::Line { .. }) => {}
            }
        }
    }

    /// The next event, with lines already shown; `None` after the deadline.
    fn next(&mut self, deadline: Instant) -> Result<Option<Event>> {
        let event = match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => return Err(XtaskError::Stopped("no process is left".to_owned())),
        };
        match &event {
            Event::Line { child, text } => output::line(child, text),
            Event::Ended { child, .. } => {
                for known in self.all.iter_mut().filter(|known| known.name == *child) {
                    known.ended = true;
                }
            }
            Event::Interrupted => {}
        }
        Ok(Some(event))
    }

    fn signal(&self, signal: Signal) {
        for child in &self.all {
            // A group that is gone already is what we want.
            let _ = killpg(child.group, signal);
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while self.all.iter().any(|child| !child.ended) {
            if !matches!(self.next(deadline), Ok(Some(_))) {
                break;
            }
        }
        // Whatever a process started and left behind ends here as well.
        self.signal(Signal::SIGKILL);
    }
}

fn died(child: &str, status: std::io::Result<ExitStatus>) -> XtaskError {
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    XtaskError::Stopped(format!("{child} ended by itself ({status}); its last lines above say why"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_group_ends_with_its_leader() {
        let mut children = Children::new().unwrap();
        // The shell's own child would outlive it if only the shell were ended.
        let script = "sleep 300 & echo \"listening on http://pid/$!\"; wait";
        children.start("shell", Run::new("sh").args(["-c", script])).unwrap();
        let address = children.address("shell", Duration::from_secs(10)).unwrap();
        let grandchild: i32 = address.rsplit('/').next().unwrap().parse().unwrap();
        drop(children);
        let deadline = Instant::now() + Duration::from_secs(5);
        let alive =
            || std::fs::read_to_string(format!("/proc/{grandchild}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
        while alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!alive(), "process {grandchild} is still there");
    }
}
