use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::counter_cell::CounterCell;

/// The state that all histograms of a recorder share.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Counts ticks and scrapes: each bucket may take a new exemplar after one.
    turn: AtomicU32,
    /// Counts values that were not numbers.
    pub(super) ignored: Arc<CounterCell>,
}

impl Pulse {
    /// The turns that are told apart: as many as fit beside a count of attempts.
    const TURNS: u32 = 1 << 24;

    pub(super) fn new(ignored: Arc<CounterCell>) -> Self {
        // Not 0, where the buckets begin.
        Pulse {
            turn: AtomicU32::new(1),
            ignored,
        }
    }

    #[inline]
    pub(super) fn turn(&self) -> u32 {
        self.turn.load(Ordering::Relaxed) % Pulse::TURNS
    }

    /// Begins the next turn.
    pub(super) fn advance(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }
}
