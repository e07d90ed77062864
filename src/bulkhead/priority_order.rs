use std::{cmp::Reverse, collections::BTreeSet};

/// The place of a call in a queue that goes by priority, which does not change while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueuePlace {
    /// The quantile of the call, in parts of 65,535.
    quantile: u16,
    /// Of two that stand equally, the one that came first is the higher one.
    came: Reverse<u64>,
}

impl QueuePlace {
    /// Returns the place of a call with this quantile, from 0 up to 1. One that has none stands in the middle.
    pub(super) fn new(quantile: Option<f32>, ordinal: u64) -> Self {
        /// Fine enough for calls of a queue.
        const STEPS: f32 = u16::MAX as f32;
        QueuePlace {
            quantile: (quantile.unwrap_or(0.5) * STEPS) as u16,
            came: Reverse(ordinal),
        }
    }

    /// Returns whether the priority is lower than that of a call with this quantile.
    pub(super) fn is_below(self, quantile: Option<f32>) -> bool {
        self.quantile < QueuePlace::new(quantile, 0).quantile
    }
}

/// The calls of a queue in the order of their priority.
#[derive(Debug, Default)]
pub(super) struct PriorityOrder(BTreeSet<(QueuePlace, u32)>);

impl PriorityOrder {
    pub(super) fn insert(&mut self, place: QueuePlace, index: u32) {
        self.0.insert((place, index));
    }

    pub(super) fn remove(&mut self, place: QueuePlace, index: u32) {
        self.0.remove(&(place, index));
    }

    /// Returns the index of the call that is next.
    pub(super) fn highest(&self) -> Option<u32> {
        self.0.last().map(|(_, index)| *index)
    }

    /// Returns the calls, from the one that is last to get a slot.
    pub(super) fn lowest_first(&self) -> impl Iterator<Item = (QueuePlace, u32)> {
        self.0.iter().copied()
    }
}
