use std::{collections::VecDeque, time::Duration};

use tokio::sync::broadcast;

use super::{core::Change, state::State, window::Counts};
use crate::{
    call::{Name, quietly},
    observe::late::Late,
};

/// Why a circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Too large a fraction of the calls failed.
    FailureRate,
    /// Too many calls failed in a row.
    ConsecutiveFailures,
    /// Too large a fraction of the calls was slow.
    SlowRate,
    /// Somebody called `open_for` or `open_until`.
    Told,
    /// The open time is over, and a call came.
    OpenTimeOver,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// Too many probes failed.
    ProbesFailed,
    /// The probes did not answer in time.
    ProbeLimit,
    /// Somebody called `force_open`.
    Forced,
    /// Somebody called `disable`.
    Disabled,
    /// Somebody called `reset`.
    Reset,
}

impl Reason {
    /// In lower case, words joined by `_`, for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::FailureRate => "failure_rate",
            Reason::ConsecutiveFailures => "consecutive_failures",
            Reason::SlowRate => "slow_rate",
            Reason::Told => "told",
            Reason::OpenTimeOver => "open_time_over",
            Reason::ProbesSucceeded => "probes_succeeded",
            Reason::ProbesFailed => "probes_failed",
            Reason::ProbeLimit => "probe_limit",
            Reason::Forced => "forced",
            Reason::Disabled => "disabled",
            Reason::Reset => "reset",
        }
    }
}

/// A change of state, as subscribers see it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transition {
    /// The breaker's name.
    pub breaker: Name,
    /// Counts the transitions of this breaker, from 1, without gaps.
    pub number: u64,
    /// The state before.
    pub from: State,
    /// The state from now on.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// What the window held at that time.
    pub counts: Counts,
    /// How long the circuit is open at least.
    pub open_for: Option<Duration>,
    /// Whether the breaker only watches.
    pub shadow: bool,
}

impl Transition {
    pub(super) fn new(breaker: &Name, number: u64, change: Change, shadow: bool) -> Self {
        let Change {
            from,
            to,
            reason,
            counts,
            open_for,
        } = change;
        Transition {
            breaker: breaker.clone(),
            number,
            from,
            to,
            reason,
            counts,
            open_for,
            shadow,
        }
    }
}

/// Transitions that are still to be told; whoever is telling takes the rest along, so that order is kept.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Transition>,
    pub(super) telling: bool,
}

/// Where transitions go.
#[derive(Debug)]
pub(super) struct Teller {
    pub(super) subscribers: broadcast::Sender<Transition>,
    refusals: Late<metrics::Counter>,
}

impl Teller {
    pub(super) fn new() -> Self {
        Teller {
            subscribers: broadcast::Sender::new(64),
            refusals: Late::new(),
        }
    }

    /// A recorder or subscriber that panics is counted and changes nothing.
    pub(super) fn tell(&self, event: &Transition) {
        quietly(|| {
            let name = || event.breaker.as_str().to_owned();
            metrics::counter!(
                "tower_keep_breaker_transitions_total",
                "breaker" => name(), "to" => event.to.as_str(), "reason" => event.reason.as_str(),
            )
            .increment(1);
            show_state(&event.breaker, event.to);
        });
        quietly(|| {
            tracing::warn!(
                target: "tower_keep::breaker",
                breaker = event.breaker.as_str(),
                number = event.number,
                from = event.from.as_str(),
                to = event.to.as_str(),
                reason = event.reason.as_str(),
                calls = event.counts.calls,
                failures = event.counts.failures,
                slow = event.counts.slow,
                shadow = event.shadow,
                "circuit breaker changed its state"
            );
        });
        let _ = self.subscribers.send(event.clone());
    }

    pub(super) fn refused(&self, breaker: &Name) {
        let make = || {
            let name = breaker.as_str().to_owned();
            metrics::counter!("tower_keep_breaker_refusals_total", "breaker" => name)
        };
        quietly(|| self.refusals.with(make, |counter| counter.increment(1)));
    }
}

/// One series for each state, and only the present one is 1.
pub(super) fn show_state(breaker: &Name, state: State) {
    for each in State::ALL {
        let name = breaker.as_str().to_owned();
        metrics::gauge!("tower_keep_breaker_state", "breaker" => name, "state" => each.as_str())
            .set(if each == state { 1.0 } else { 0.0 });
    }
}
