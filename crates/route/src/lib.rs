//! Signals to score to decision: policy, redaction and receipts. Pure: no I/O, no clock, no randomness.
