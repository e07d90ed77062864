//! Pipelines: all that guards a call that is no service.

mod borrowed;
mod bulkheads;
mod ends;
mod fallbacks;
mod outcomes;
mod parts;
mod rate_limits;

use std::{error::Error, fmt, time::Duration};

use tower_keep::{
    ErrorTracker, Outcome, Pipeline,
    pipeline::PipelineBuilder,
    retry::{Backoff, Jitter},
};

use crate::support::logs::{Event, Logs};

const SECOND: Duration = Duration::from_secs(1);
/// The wait before each retry.
const WAIT: Duration = Duration::from_millis(100);

/// Not `Clone`, so that the one which comes out is the one that went in.
#[derive(Debug, PartialEq)]
enum DbError {
    Down(u32),
    NoRow,
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DbError::Down(node) => write!(f, "node {node} is down"),
            DbError::NoRow => f.write_str("no row"),
        }
    }
}

impl Error for DbError {}

/// Has no part yet, and an error tracker of its own.
fn empty(name: &'static str) -> (PipelineBuilder, ErrorTracker) {
    let errors = ErrorTracker::default();
    let builder = Pipeline::builder(name).operation(|work| work.errors(errors.clone()));
    (builder, errors)
}

/// Has all parts: attempts of a second, three of them, ten seconds in total.
fn whole(name: &'static str) -> (PipelineBuilder, ErrorTracker) {
    let (builder, errors) = empty(name);
    let builder = with_retry(builder)
        .total_limit(10 * SECOND)
        .breaker(|breaker| breaker.consecutive_failures(5))
        .attempt_limit(SECOND)
        .classify_error(|error: &DbError| match error {
            DbError::NoRow => Outcome::ClientError,
            DbError::Down(_) => Outcome::Failure,
        });
    (builder, errors)
}

fn with_retry(builder: PipelineBuilder) -> PipelineBuilder {
    let backoff = Backoff::constant(WAIT).jitter(Jitter::None);
    builder.retry(|retry| retry.max_attempts(3).backoff(backoff).budget(None))
}

fn only_line(logs: &Logs) -> Event {
    let lines = logs.events("tower_keep::operation");
    let [line] = &lines[..] else {
        panic!("one line expected: {lines:#?}")
    };
    let line = line.clone();
    logs.clear();
    line
}
