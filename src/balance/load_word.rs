use std::time::Duration;

use super::load::{LoadEstimate, Tick};
use crate::util::sync::atomic::{AtomicU64, Ordering};

/// The estimate of an endpoint in one word: 32 bits of latency in nanoseconds as a float, 32 of the time of the last call in
/// milliseconds. Zero is no estimate.
#[derive(Debug)]
pub(super) struct LoadWord(AtomicU64);

impl LoadWord {
    pub(super) fn new() -> Self {
        LoadWord(AtomicU64::new(0))
    }

    pub(super) fn load(&self) -> Option<LoadEstimate> {
        LoadEstimate::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn observe(&self, latency: Duration, decay: Duration, now: Tick) {
        // A swap that fails tries again with what the other thread has stored, so that no peak is lost.
        let update = |bits| {
            let before = LoadEstimate::from_bits(bits);
            Some(LoadEstimate::after(before, latency, decay, now).to_bits())
        };
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    pub(super) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
