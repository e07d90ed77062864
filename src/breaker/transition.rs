use std::{collections::VecDeque, time::Duration};

use super::{state::CircuitState, state_machine::StateChange, window::CallCounts};
use crate::call::Label;

/// Why a circuit changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransitionReason {
    /// Too large a fraction of the calls failed.
    FailureRate,
    /// Too many calls failed in a row.
    ConsecutiveFailures,
    /// Too large a fraction of the calls was slow.
    SlowRate,
    /// Somebody called `open_for` or `open_until`.
    Manual,
    /// The peer said how long to stay away, and the breaker heeds it.
    RetryAfter,
    /// The open time is over, and a call came.
    OpenTimeElapsed,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// Too many probes failed.
    ProbesFailed,
    /// Too many probes failed or did not answer within their limit.
    ProbeTimeout,
    /// Somebody called `force_open`.
    ForcedOpen,
    /// Somebody called `disable`.
    Disabled,
    /// Somebody called `reset`.
    Reset,
    /// Somebody turned the [`Switch`](super::Switch) that it obeys.
    Switch,
}

impl TransitionReason {
    /// In lower case, words joined by `_`, for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            TransitionReason::FailureRate => "failure_rate",
            TransitionReason::ConsecutiveFailures => "consecutive_failures",
            TransitionReason::SlowRate => "slow_rate",
            TransitionReason::Manual => "told",
            TransitionReason::RetryAfter => "hinted",
            TransitionReason::OpenTimeElapsed => "open_time_over",
            TransitionReason::ProbesSucceeded => "probes_succeeded",
            TransitionReason::ProbesFailed => "probes_failed",
            TransitionReason::ProbeTimeout => "probe_limit",
            TransitionReason::ForcedOpen => "forced",
            TransitionReason::Disabled => "disabled",
            TransitionReason::Reset => "reset",
            TransitionReason::Switch => "switched",
        }
    }
}

/// A change of state, as subscribers see it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transition {
    /// The breaker's name.
    pub breaker: Label,
    /// Which of the breakers of that name, if there is [one for each key](super::KeyedBreaker): the key's text,
    /// at most 128 bytes.
    pub key: Option<Label>,
    /// Counts the transitions of this breaker, from 1, without gaps.
    pub number: u64,
    /// The state before.
    pub from: CircuitState,
    /// The state from now on.
    pub to: CircuitState,
    /// Why.
    pub reason: TransitionReason,
    /// What the window held at that time.
    pub counts: CallCounts,
    /// How long the circuit is open at least.
    pub open_for: Option<Duration>,
    /// What the call said whose end opened the circuit, at most 1 KiB: its error with its
    /// sources, or its status.
    pub last_error: Option<Label>,
    /// Whether the breaker only watches.
    pub shadow: bool,
}

impl Transition {
    pub(super) fn new(breaker: &Label, change: StateChange, shadow: bool) -> Self {
        let StateChange {
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
pub(super) struct EventQueue {
    pending: VecDeque<PendingEvent>,
    dispatching: bool,
}

#[derive(Debug)]
struct PendingEvent {
    event: Transition,
    /// Whether all is known of it: the error's text comes later than the transition.
    complete: bool,
}

impl EventQueue {
    pub(super) fn push(&mut self, event: Transition) {
        let whole = false;
        self.pending.push_back(PendingEvent {
            event,
            complete: whole,
        });
    }

    /// The event of this number is whole from now on.
    pub(super) fn complete(&mut self, number: u64, last_error: Option<Label>) {
        let mut waiting = self.pending.iter_mut();
        if let Some(waiting) = waiting.find(|waiting| waiting.event.number == number) {
            waiting.event.last_error = last_error;
            waiting.complete = true;
        }
    }

    /// Whether nobody else is telling; whoever asks has to.
    pub(super) fn try_begin(&mut self) -> bool {
        !std::mem::replace(&mut self.dispatching, true)
    }

    /// The next event to be told, or the end of the telling.
    pub(super) fn next(&mut self) -> Option<Transition> {
        if self.pending.front().is_some_and(|waiting| waiting.complete) {
            return self.pending.pop_front().map(|waiting| waiting.event);
        }
        self.dispatching = false;
        None
    }
}
