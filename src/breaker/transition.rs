use std::time::Duration;

use super::{call_counts::CallCounts, state::CircuitState};
use crate::call::Label;

/// The reason for a change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransitionReason {
    /// Too large a fraction of the calls failed.
    FailureRate,
    /// Too many calls failed in a row.
    ConsecutiveFailures,
    /// Too large a fraction of the calls was slow.
    SlowRate,
    /// The program called `open_for` or `open_until`.
    Manual,
    /// The peer asked callers to wait, and the breaker is configured to open then.
    RetryAfter,
    /// The open time had elapsed when a call came.
    OpenTimeElapsed,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// Too many probes failed.
    ProbesFailed,
    /// Too many probes failed or timed out.
    ProbeTimeout,
    /// The program called `force_open`.
    ForcedOpen,
    /// The program called `disable`.
    Disabled,
    /// The program called `reset`.
    Reset,
    /// The [`Switch`](super::Switch) of the breaker was set.
    Switch,
}

impl TransitionReason {
    /// Returns the reason in lower case, words joined by `_`, for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            TransitionReason::FailureRate => "failure_rate",
            TransitionReason::ConsecutiveFailures => "consecutive_failures",
            TransitionReason::SlowRate => "slow_rate",
            TransitionReason::Manual => "manual",
            TransitionReason::RetryAfter => "retry_after",
            TransitionReason::OpenTimeElapsed => "open_time_elapsed",
            TransitionReason::ProbesSucceeded => "probes_succeeded",
            TransitionReason::ProbesFailed => "probes_failed",
            TransitionReason::ProbeTimeout => "probe_timeout",
            TransitionReason::ForcedOpen => "forced_open",
            TransitionReason::Disabled => "disabled",
            TransitionReason::Reset => "reset",
            TransitionReason::Switch => "switch",
        }
    }
}

/// A change of state, as sent to subscribers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transition {
    /// The name of the breaker.
    pub breaker: Label,
    /// The key of the breaker, if it is one of a [`KeyedBreaker`](super::KeyedBreaker): the key's text, at most 128 bytes.
    pub key: Option<Label>,
    /// The number of the transition: counts those of this breaker, from 1, without gaps.
    pub number: u64,
    /// The state before.
    pub from: CircuitState,
    /// The state from now on.
    pub to: CircuitState,
    /// The reason.
    pub reason: TransitionReason,
    /// The counts of the window at that time.
    pub counts: CallCounts,
    /// The time that the circuit is open at least.
    pub open_for: Option<Duration>,
    /// The error of the call that opened the circuit, at most 1 KiB: its text with those of its sources, or its status.
    pub last_error: Option<Label>,
    /// True if the breaker was in shadow mode.
    pub shadow: bool,
}
