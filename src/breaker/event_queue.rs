use std::collections::VecDeque;

use super::transition::Transition;
use crate::call::Label;

/// Transitions that are still to be reported, in order. The thread that reports one also reports those that follow
/// meanwhile.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    pending: VecDeque<Transition>,
    /// Transitions whose error text is not known yet: it is formatted without the lock.
    incomplete: Vec<u64>,
    is_reporting: bool,
}

impl EventQueue {
    /// Adds a transition, which is not reported before it is [complete](Self::complete).
    pub(super) fn push(&mut self, transition: Transition) {
        self.incomplete.push(transition.number);
        self.pending.push_back(transition);
    }

    pub(super) fn complete(&mut self, number: u64, last_error: Option<Label>) {
        self.incomplete.retain(|incomplete| *incomplete != number);
        let mut pending = self.pending.iter_mut();
        if let Some(transition) = pending.find(|transition| transition.number == number) {
            transition.last_error = last_error;
        }
    }

    /// Returns `true` if no other thread is reporting. The caller then has to report until [`next`](Self::next) returns
    /// `None`.
    pub(super) fn begin_reporting(&mut self) -> bool {
        !std::mem::replace(&mut self.is_reporting, true)
    }

    /// Returns the next transition to report, or ends the reporting.
    pub(super) fn next(&mut self) -> Option<Transition> {
        let first = self.pending.front();
        if first.is_some_and(|first| !self.incomplete.contains(&first.number)) {
            return self.pending.pop_front();
        }
        self.is_reporting = false;
        None
    }
}
