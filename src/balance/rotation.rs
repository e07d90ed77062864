//! The endpoints that get calls, and those that are ejected: as many as the share allows, and never the last one. Pure.

use std::collections::VecDeque;

/// The number that an endpoint has for as long as it is there.
pub(super) type EndpointId = u64;

/// The endpoints whose circuits are open, in the order in which they opened.
///
/// Those that came first are ejected. The others wait: they get calls although their circuits are open, and are ejected when
/// there is room.
#[derive(Debug)]
pub(super) struct Rotation {
    max_ejected: f64,
    endpoints: usize,
    ejected: Vec<EndpointId>,
    waiting: VecDeque<EndpointId>,
}

/// A change of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RotationChange {
    /// An endpoint gets no calls from now on, except probes.
    Ejected(EndpointId),
    /// An endpoint gets calls again, since its circuit has closed.
    Recovered(EndpointId),
    /// An endpoint gets calls again, since fewer may be ejected. Its circuit is open as before.
    Readmitted(EndpointId),
}

impl Rotation {
    pub(super) fn new(max_ejected: f64) -> Self {
        Rotation {
            max_ejected,
            endpoints: 0,
            ejected: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Adds an endpoint, whose circuit is closed. Another one may be ejected now.
    pub(super) fn insert(&mut self) -> Vec<RotationChange> {
        self.endpoints += 1;
        self.settle()
    }

    /// Removes an endpoint. Others may have to return.
    pub(super) fn remove(&mut self, id: EndpointId) -> Vec<RotationChange> {
        self.endpoints = self.endpoints.saturating_sub(1);
        self.ejected.retain(|other| *other != id);
        self.waiting.retain(|other| *other != id);
        self.settle()
    }

    /// Handles that the circuit of an endpoint has opened. The second value is `true` if it would be ejected if the share allowed it.
    pub(super) fn open(&mut self, id: EndpointId) -> (Vec<RotationChange>, bool) {
        if self.ejected.contains(&id) || self.waiting.contains(&id) {
            return (Vec::new(), false);
        }
        self.waiting.push_back(id);
        let changes = self.settle();
        (changes, self.waiting.contains(&id))
    }

    /// Handles that the circuit of an endpoint has closed. The place of one that was ejected goes to the one that waits longest.
    pub(super) fn close(&mut self, id: EndpointId) -> Vec<RotationChange> {
        self.waiting.retain(|other| *other != id);
        let before = self.ejected.len();
        self.ejected.retain(|other| *other != id);
        let mut changes = Vec::new();
        if self.ejected.len() < before {
            changes.push(RotationChange::Recovered(id));
        }
        changes.extend(self.settle());
        changes
    }

    /// Changes the share of endpoints that may be ejected.
    pub(super) fn set_max_ejected(&mut self, max_ejected: f64) -> Vec<RotationChange> {
        self.max_ejected = max_ejected;
        self.settle()
    }

    pub(super) fn ejected(&self) -> usize {
        self.ejected.len()
    }

    pub(super) fn endpoints(&self) -> usize {
        self.endpoints
    }

    /// Returns the number that may be ejected: the share rounded down, but one if there is a share at all, and never the last one.
    pub(super) fn allowed(&self) -> usize {
        /// Makes up for fractions that no float has: 0.29 of 100 are 29.
        const ROUNDING: f64 = 1e-9;
        if self.max_ejected <= 0.0 {
            return 0;
        }
        let share = (self.endpoints as f64 * self.max_ejected + ROUNDING) as usize;
        share.max(1).min(self.endpoints.saturating_sub(1))
    }

    /// Ejects those that wait while there is room, and readmits the latest while there are too many.
    fn settle(&mut self) -> Vec<RotationChange> {
        let allowed = self.allowed();
        let mut changes = Vec::new();
        while self.ejected.len() > allowed
            && let Some(id) = self.ejected.pop()
        {
            self.waiting.push_front(id);
            changes.push(RotationChange::Readmitted(id));
        }
        while self.ejected.len() < allowed
            && let Some(id) = self.waiting.pop_front()
        {
            self.ejected.push(id);
            changes.push(RotationChange::Ejected(id));
        }
        changes
    }
}
