//! Answers in the place of failed calls: over services of any kind, over HTTP and gRPC by hand, and over the loopback.

mod connections;
mod deadlines;
mod http_calls;
mod service;
mod unsent;

use tower_keep::{BoxError, Outcome, call::ClassifyInput, testing};

use crate::support::meter::Meter;

// With an error that nothing here gives a hint of.
type Script = testing::Script<BoxError>;
type Reply = testing::Reply<BoxError>;

/// A classifier that reads the outcome off an answer: its number in [`Outcome::ALL`].
fn by_number(end: &ClassifyInput<'_>) -> Outcome {
    match end.response::<usize>() {
        Some(number) => Outcome::ALL[*number],
        None => end.outcome(),
    }
}

/// Returns how many were served in place of this outcome, and how many failed for this reason.
fn counted(meter: &Meter, outcome: &str, reason: &str) -> (f64, f64) {
    let served = meter.sum("tower_keep_fallbacks_total", &[("outcome", outcome)]);
    let failed = meter.sum("tower_keep_fallbacks_failed_total", &[("reason", reason)]);
    (served.unwrap_or(0.0), failed.unwrap_or(0.0))
}

fn hook_panics(meter: &Meter) -> f64 {
    meter
        .sum("tower_keep_hook_panics_total", &[])
        .unwrap_or(0.0)
}
