use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

use super::call_table::{AttemptKey, RoundKey};

/// The least number of events of which those are removed that came to nothing.
const MIN_PRUNED: usize = 4_096;

/// The events that are still to come, by their time; those of the same time in the order in which they were added.
#[derive(Debug)]
pub(super) struct EventQueue {
    heap: BinaryHeap<Entry>,
    added: u64,
    prune_at: usize,
}

/// An event of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimulationEvent {
    /// A call comes, unless the arrivals have changed since.
    Arrival(CallOrigin),
    /// A worker of the peer has done its work for an attempt.
    Served(AttemptKey),
    /// The time limit of an attempt elapses.
    Elapsed(AttemptKey),
    /// The wait before another attempt is over.
    Retry(RoundKey),
    /// A hedge may be due beside the attempts of a call.
    Hedge(RoundKey),
    /// A step of the simulator's, by its index.
    Step(usize),
    /// A slice of the report is over.
    SliceEnd,
}

/// The source of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallOrigin {
    /// The number of the arrivals that it belongs to: those of before a step are no more.
    pub(super) generation: u32,
    /// The user that calls, of closed arrivals.
    pub(super) user: Option<u32>,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    ordinal: u64,
    event: SimulationEvent,
}

impl EventQueue {
    pub(super) fn new() -> Self {
        EventQueue {
            heap: BinaryHeap::new(),
            added: 0,
            prune_at: MIN_PRUNED,
        }
    }

    /// Removes the events that have come to nothing, if their number has doubled since the last time. Without that, each call would
    /// leave its time limit behind, for as long as that is.
    pub(super) fn prune(&mut self, is_needed: impl Fn(SimulationEvent) -> bool) {
        if self.heap.len() < self.prune_at {
            return;
        }
        self.heap.retain(|entry| is_needed(entry.event));
        self.prune_at = (2 * self.heap.len()).max(MIN_PRUNED);
    }

    /// Adds an event at a time since the start.
    pub(super) fn add(&mut self, at: Duration, event: SimulationEvent) {
        let ordinal = self.added;
        self.added += 1;
        self.heap.push(Entry { at, ordinal, event });
    }

    /// Removes the next event, with its time.
    pub(super) fn next(&mut self) -> Option<(Duration, SimulationEvent)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

/// The heap gives the greatest first: that is the earliest.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.ordinal).cmp(&(self.at, self.ordinal))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_that_come_to_nothing_do_not_pile_up() {
        let mut events = EventQueue::new();
        for index in 0..100 * MIN_PRUNED {
            events.add(
                Duration::from_secs(index as u64),
                SimulationEvent::Step(index),
            );
            events.prune(|event| matches!(event, SimulationEvent::Step(index) if index % 64 == 0));
            assert!(events.heap.len() <= 4 * MIN_PRUNED, "{index}");
        }
        events.prune_at = 0;
        events.prune(|event| matches!(event, SimulationEvent::Step(index) if index % 64 == 0));
        let left = std::iter::from_fn(|| events.next());
        let expected = (0..100 * MIN_PRUNED).step_by(64).map(SimulationEvent::Step);
        assert!(left.map(|(_, event)| event).eq(expected), "in order");
    }

    proptest! {
        #[test]
        fn events_come_by_time_then_in_the_order_of_their_adding(
            times in prop::collection::vec(0..20_u64, 0..100),
        ) {
            let mut events = EventQueue::new();
            for (index, &at) in times.iter().enumerate() {
                events.add(Duration::from_secs(at), SimulationEvent::Step(index));
            }
            let mut expected: Vec<_> = times.iter().copied().zip(0..).collect();
            expected.sort();
            for (at, index) in expected {
                prop_assert_eq!(events.next(), Some((Duration::from_secs(at), SimulationEvent::Step(index))));
            }
            prop_assert_eq!(events.next(), None);
        }
    }
}
