use std::time::Duration;

use super::{
    event_queue::EventQueue,
    state::CircuitState,
    state_machine::StateMachine,
    transition::{Transition, TransitionReason},
};
use crate::call::{Label, Rejection};

/// What a breaker keeps behind its lock.
pub(super) struct Locked {
    pub(super) machine: StateMachine,
    /// The bucket that the pending successes of the fast path belong to.
    pub(super) pending_bucket: u64,
    /// The version of the switch that has been applied.
    pub(super) switch_version: u64,
    pub(super) events: EventQueue,
    /// Why the circuit is not closed; half open, why it was opened.
    pub(super) open_reason: Option<TransitionReason>,
    /// The error of the call that last opened it.
    pub(super) last_error: Option<Label>,
}

impl Locked {
    /// Queues a transition, to be reported once it is complete. Returns its number.
    pub(super) fn queue(&mut self, transition: Transition) -> u64 {
        match transition.to {
            CircuitState::Closed => self.open_reason = None,
            CircuitState::HalfOpen => {}
            CircuitState::Open | CircuitState::ForcedOpen | CircuitState::Disabled => {
                self.open_reason = Some(transition.reason);
                self.last_error = None;
            }
        }
        let number = transition.number;
        self.events.push(transition);
        number
    }

    /// Completes a queued transition by the error of the call that caused it.
    pub(super) fn complete(&mut self, number: u64, last_error: Option<Label>) {
        // A later transition has an error of its own.
        if last_error.is_some() && self.machine.transitions() == number {
            self.last_error.clone_from(&last_error);
        }
        self.events.complete(number, last_error);
    }

    pub(super) fn rejection(&self, breaker: &Label, retry_after: Option<Duration>) -> Rejection {
        Rejection::circuit_open(
            breaker.clone(),
            self.open_reason.map(TransitionReason::as_str),
            retry_after,
            self.last_error.clone(),
        )
    }
}
