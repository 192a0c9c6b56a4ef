//! From signals to a score to a decision: near or far, and what a crossing may carry.
//!
//! A [`Signal`] is one cheap observation about a request. [`rules`] draws the first ones from what is known before any
//! model runs; [`margin_signal`] adds what the first tokens show. A [`Profile`] puts them through one logistic model and
//! gives a [`Score`], the probability that near's answer will not be good enough. [`decide`] holds the score against the
//! [`Policy`] and gives a [`Decision`] that can always be explained. What then crosses is redacted by a [`Redactor`],
//! restored in the answer by a [`Restorer`], and written down in a [`Receipt`].
//!
//! The crate is pure: no I/O, no clock, no randomness. Times, ids and prices come from the caller.
//!
//! ```
//! use nearside_route::{Kind, Mode, Policy, Profile, RequestFacts, Restorer, Side, Situation, decide, redact, rules, score};
//!
//! let profile = Profile::uncalibrated();
//! let policy = Policy { mode: Mode::Ask, ..Policy::default() };
//!
//! let small = RequestFacts { text: "What is the capital of France?".into(), prompt_tokens: 14, ..RequestFacts::default() };
//! let decision = decide(&score(&rules(&small), &profile), &policy, &Situation::default());
//! assert_eq!(decision.side, Side::Near);
//!
//! let picture = RequestFacts { attachments: 1, ..small };
//! let decision = decide(&score(&rules(&picture), &profile), &policy, &Situation::default());
//! assert_eq!(decision.side, Side::Far);
//! assert!(decision.needs_consent); // nothing has crossed yet: the user is asked first
//!
//! let (sent, redactions) = redact("Write to ada@example.org", &Kind::ALL);
//! assert_eq!(sent, "Write to [[EMAIL_1]]");
//! let mut restorer = Restorer::new(&redactions);
//! let answer = restorer.push("Done, [[EMA") + &restorer.push("IL_1]] was told") + &restorer.finish();
//! assert_eq!(answer, "Done, ada@example.org was told");
//! ```

mod decide;
mod hand_over;
mod margin;
mod policy;
mod profile;
mod receipt;
mod redact;
mod rules;
mod signal;

pub use decide::{Consent, Decision, Situation, decide};
pub use hand_over::{HandOverRule, hand_over};
pub use margin::{lowest_margin_signal, margin_signal};
pub use policy::{Budget, Mode, Policy};
pub use profile::{Calibration, Contribution, Profile, ProfileError, Score, score};
pub use receipt::Receipt;
pub use redact::{Kind, Redaction, Redactions, Redactor, Restorer, redact, restore};
pub use rules::{RequestFacts, rules};
pub use signal::{Bearing, Side, Signal, names};
