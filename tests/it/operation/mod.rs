//! Operations: code that is not a service.

mod classify;
mod drops;
mod guard;
mod outcomes;
mod reports;

use std::{error::Error, fmt, io};

use tower_keep::{
    ErrorTracker,
    operation::{Operation, operation},
};

use crate::support::logs::{Event, Logs};

const DURATION: &str = "operation_duration_seconds";

const IN_FLIGHT: &str = "operations_in_flight";

#[derive(Debug)]
struct NoRow(u32);

impl fmt::Display for NoRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no row for order {}", self.0)
    }
}

impl Error for NoRow {}

#[derive(Debug)]
struct Unreadable(io::Error);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the index cannot be read")
    }
}

impl Error for Unreadable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// With an error tracker of its own.
fn tracked(name: &'static str) -> (Operation, ErrorTracker) {
    let errors = ErrorTracker::default();
    (operation(name).errors(errors.clone()), errors)
}

fn lines(logs: &Logs) -> Vec<Event> {
    logs.events("tower_keep::operation")
}

fn only_line(logs: &Logs) -> Event {
    let [line] = &lines(logs)[..] else {
        panic!("one line expected: {:#?}", lines(logs))
    };
    let line = line.clone();
    logs.clear();
    line
}
