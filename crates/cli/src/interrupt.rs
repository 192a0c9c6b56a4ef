//! Ctrl-C: the first one asks for a clean end, the second one does not ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::failure::{EXIT_INTERRUPTED, Failure};

/// Whether the user, or the system, wants this to end.
#[derive(Clone)]
pub(crate) struct Interrupt {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    raised: AtomicBool,
    /// Nothing is under way that could end cleanly, such as while waiting for a line of input.
    idle: AtomicBool,
    /// Wakes whoever waits in [`Interrupt::raised`].
    notify: Notify,
}

impl Interrupt {
    /// Takes over SIGINT, SIGTERM and their like for the whole process; to be called once.
    pub(crate) fn install() -> Result<Self, Failure> {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        ctrlc::set_handler(move || {
            if shared.idle.load(Ordering::SeqCst) || shared.raised.swap(true, Ordering::SeqCst) {
                eprintln!();
                std::process::exit(i32::from(EXIT_INTERRUPTED));
            }
            shared.notify.notify_waiters();
        })
        .map_err(|error| Failure::System { what: "listening for Ctrl-C".to_owned(), reason: error.to_string() })?;
        Ok(Self { state })
    }

    /// Whether it was asked for.
    pub(crate) fn is_raised(&self) -> bool {
        self.state.raised.load(Ordering::SeqCst)
    }

    /// Breaks off by itself where it was asked for.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.is_raised() { Err(Failure::Interrupted) } else { Ok(()) }
    }

    /// The request was met; the next Ctrl-C is a first one again.
    pub(crate) fn clear(&self) {
        self.state.raised.store(false, Ordering::SeqCst);
    }

    /// Until the guard is dropped, Ctrl-C ends the process at once.
    pub(crate) fn idle(&self) -> Idle<'_> {
        self.state.idle.store(true, Ordering::SeqCst);
        Idle { state: &self.state }
    }

    /// Returns once it was asked for.
    pub(crate) async fn raised(&self) {
        let notified = self.state.notify.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if !self.is_raised() {
            notified.await;
        }
    }
}

/// See [`Interrupt::idle`].
pub(crate) struct Idle<'a> {
    state: &'a State,
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.state.idle.store(false, Ordering::SeqCst);
    }
}
