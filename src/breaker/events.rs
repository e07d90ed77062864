use std::{collections::VecDeque, time::Duration};

use super::{core::Change, state::State, window::Counts};
use crate::call::Name;

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
    /// The peer said how long to stay away, and the breaker heeds it.
    Hinted,
    /// The open time is over, and a call came.
    OpenTimeOver,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// Too many probes failed.
    ProbesFailed,
    /// Too many probes failed or did not answer within their limit.
    ProbeLimit,
    /// Somebody called `force_open`.
    Forced,
    /// Somebody called `disable`.
    Disabled,
    /// Somebody called `reset`.
    Reset,
    /// Somebody turned the [`Switch`](super::Switch) that it obeys.
    Switched,
}

impl Reason {
    /// In lower case, words joined by `_`, for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::FailureRate => "failure_rate",
            Reason::ConsecutiveFailures => "consecutive_failures",
            Reason::SlowRate => "slow_rate",
            Reason::Told => "told",
            Reason::Hinted => "hinted",
            Reason::OpenTimeOver => "open_time_over",
            Reason::ProbesSucceeded => "probes_succeeded",
            Reason::ProbesFailed => "probes_failed",
            Reason::ProbeLimit => "probe_limit",
            Reason::Forced => "forced",
            Reason::Disabled => "disabled",
            Reason::Reset => "reset",
            Reason::Switched => "switched",
        }
    }
}

/// A change of state, as subscribers see it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transition {
    /// The breaker's name.
    pub breaker: Name,
    /// Which of the breakers of that name, if there is [one for each key](super::KeyedBreaker): the key's text,
    /// at most 128 bytes.
    pub key: Option<Name>,
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
    /// What the call said whose end opened the circuit, at most 1 KiB: its error with its
    /// sources, or its status.
    pub last_error: Option<Name>,
    /// Whether the breaker only watches.
    pub shadow: bool,
}

impl Transition {
    pub(super) fn new(breaker: &Name, change: Change, shadow: bool) -> Self {
        let Change {
            number,
            from,
            to,
            reason,
            counts,
            open_for,
        } = change;
        Transition {
            breaker: breaker.clone(),
            key: None,
            number,
            from,
            to,
            reason,
            counts,
            open_for,
            last_error: None,
            shadow,
        }
    }
}

/// Transitions that are still to be told; whoever is telling takes the rest along, so that order is kept.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    telling: bool,
}

#[derive(Debug)]
struct Waiting {
    event: Transition,
    /// Whether all is known of it: the error's text comes later than the transition.
    whole: bool,
}

impl Queue {
    pub(super) fn push(&mut self, event: Transition) {
        let whole = false;
        self.waiting.push_back(Waiting { event, whole });
    }

    /// The event of this number is whole from now on.
    pub(super) fn complete(&mut self, number: u64, last_error: Option<Name>) {
        let mut waiting = self.waiting.iter_mut();
        if let Some(waiting) = waiting.find(|waiting| waiting.event.number == number) {
            waiting.event.last_error = last_error;
            waiting.whole = true;
        }
    }

    /// Whether nobody else is telling; whoever asks has to.
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.telling, true)
    }

    /// The next event to be told, or the end of the telling.
    pub(super) fn next(&mut self) -> Option<Transition> {
        if self.waiting.front().is_some_and(|waiting| waiting.whole) {
            return self.waiting.pop_front().map(|waiting| waiting.event);
        }
        self.telling = false;
        None
    }
}
