//! The phases, probes and calls of the reference.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    Closed {
        since: Duration,
    },
    Open {
        until: Duration,
    },
    /// The probes that have not been given back.
    HalfOpen(Vec<Probe>),
    Forced,
    Disabled,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    pub call: u64,
    pub until: Duration,
    pub is: Is,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Is {
    Out,
    Good,
    Bad,
    Overdue,
}

#[derive(Clone, Copy)]
pub struct Seen {
    pub bucket: u128,
    pub failed: bool,
    pub slow: bool,
}

/// A call that was let pass.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub id: u64,
    pub generation: u64,
    pub began: Duration,
    /// Unless it has been given back.
    pub is_probe: bool,
    /// The time at which its head was counted as good, whether that was slow, and in which window.
    pub counted: Option<(Duration, bool, u64)>,
    /// Nothing that it still says counts.
    pub done: bool,
}
