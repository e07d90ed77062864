use std::{collections::VecDeque, time::Duration};

use super::{
    bucket::Bucket,
    state::CircuitState,
    state_machine::StateMachine,
    switch::SwitchMode,
    transition::{Transition, TransitionReason},
};
use crate::call::{Label, Rejection};

/// The part of a breaker that is behind its lock.
pub(super) struct Locked {
    pub(super) machine: StateMachine,
    /// The bucket that the pending successes of the fast path belong to.
    pub(super) pending_bucket: Bucket,
    /// The version of the settings that have been applied; 0 for those that it was built with.
    pub(super) settings_version: u64,
    /// The version of the switch that has been applied.
    pub(super) switch_version: u64,
    /// Transitions that are still to be reported, in order.
    queue: VecDeque<Transition>,
    /// The numbers of queued transitions whose error is not known yet: it is formatted without the lock.
    incomplete: Vec<u64>,
    /// True while a thread is reporting, which also reports the transitions that other threads queue meanwhile.
    is_reporting: bool,
    /// The reason why the circuit is not closed; half open, why it was opened.
    pub(super) open_reason: Option<TransitionReason>,
    /// The error of the call that last opened it.
    pub(super) last_error: Option<Label>,
}

impl Locked {
    pub(super) fn new(
        machine: StateMachine,
        pending_bucket: Bucket,
        switch_version: u64,
        mode: SwitchMode,
    ) -> Self {
        Locked {
            machine,
            pending_bucket,
            settings_version: 0,
            switch_version,
            queue: VecDeque::new(),
            incomplete: Vec::new(),
            is_reporting: false,
            open_reason: (mode != SwitchMode::Normal).then_some(TransitionReason::Switch),
            last_error: None,
        }
    }

    /// Queues a transition, to be reported once it is [complete](Self::complete). Returns its number.
    pub(super) fn queue(&mut self, transition: Transition) -> u64 {
        match transition.to {
            CircuitState::Closed => self.open_reason = None,
            // Calls that are no probes are rejected for the reason for which the circuit opened.
            CircuitState::HalfOpen => {}
            CircuitState::Open | CircuitState::ForcedOpen | CircuitState::Disabled => {
                self.open_reason = Some(transition.reason);
                // Until that of this transition is known: rejections must not show the error of an earlier outage.
                self.last_error = None;
            }
        }
        let number = transition.number;
        self.incomplete.push(number);
        self.queue.push_back(transition);
        number
    }

    /// Completes a queued transition by the error of the call that caused it.
    pub(super) fn complete(&mut self, number: u64, last_error: Option<Label>) {
        // A later transition has an error of its own.
        if last_error.is_some() && self.machine.transitions() == number {
            self.last_error.clone_from(&last_error);
        }
        self.incomplete.retain(|incomplete| *incomplete != number);
        // It has not been reported: reporting stops at a transition that is incomplete.
        let mut queued = self.queue.iter_mut();
        if let Some(transition) = queued.find(|transition| transition.number == number) {
            transition.last_error = last_error;
        }
    }

    /// Returns `true` if no other thread is reporting. The caller then has to report until
    /// [`next_transition`](Self::next_transition) returns `None`.
    pub(super) fn begin_reporting(&mut self) -> bool {
        !std::mem::replace(&mut self.is_reporting, true)
    }

    /// Returns the next transition to report, or ends the reporting.
    pub(super) fn next_transition(&mut self) -> Option<Transition> {
        // The thread that completes the first one begins to report again.
        let first = self.queue.front();
        if first.is_some_and(|first| !self.incomplete.contains(&first.number)) {
            return self.queue.pop_front();
        }
        self.is_reporting = false;
        None
    }

    pub(super) fn rejection(
        &self,
        breaker: &Label,
        key: Option<&Label>,
        retry_after: Option<Duration>,
    ) -> Rejection {
        Rejection::circuit_open(
            breaker.clone(),
            key.cloned(),
            self.open_reason.map(TransitionReason::as_str),
            retry_after,
            self.last_error.clone(),
        )
    }
}
