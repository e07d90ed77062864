use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use fastrand::Rng;

use super::{Backoff, Jitter};
use crate::util::{duration::from_nanos, mix::mix};

/// Step of the Weyl sequence of seeds, as in SplitMix64: 2^64 divided by the golden ratio.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The delays of one call, an infinite iterator. Not `Clone`, so that no two calls share their jitter.
#[derive(Debug)]
pub struct Delays {
    backoff: Backoff,
    rng: Rng,
    /// The index of the next retry.
    pub(super) retry: u32,
    previous: Duration,
}

impl Delays {
    pub(super) fn new(backoff: Backoff, seed: u64) -> Self {
        Delays {
            backoff,
            rng: Rng::with_seed(seed),
            retry: 0,
            previous: backoff.first,
        }
    }

    /// Starts over with the first delay; the jitter does not repeat.
    pub fn reset(&mut self) {
        self.retry = 0;
        self.previous = self.backoff.first;
    }

    pub(super) fn next_delay(&mut self) -> Duration {
        let (first, max) = (self.backoff.first, self.backoff.max_delay());
        let delay = self.backoff.delay(self.retry);
        self.retry = self.retry.saturating_add(1);
        match self.backoff.jitter {
            Jitter::None => delay,
            Jitter::Full => self.random_between(Duration::ZERO, delay),
            Jitter::Equal => self.random_between(delay / 2, delay),
            Jitter::Decorrelated => {
                // As in AWS' article on backoff: between the first delay and three times the one before.
                let high = self.previous.saturating_mul(3);
                self.previous = self.random_between(first, high.max(first)).min(max);
                self.previous
            }
        }
    }

    /// Returns the jitter to add to a delay that the peer asked for.
    pub(super) fn next_jitter(&mut self) -> Duration {
        match self.backoff.jitter {
            Jitter::None => Duration::ZERO,
            _ => self.random_between(Duration::ZERO, self.backoff.delay(0)),
        }
    }

    fn random_between(&mut self, low: Duration, high: Duration) -> Duration {
        from_nanos(self.rng.u128(low.as_nanos()..=high.as_nanos()))
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.next_delay())
    }
}

/// Returns a seed from the operating system, as the standard library's hash keys are.
pub(super) fn random_seed() -> u64 {
    RandomState::new().hash_one(0)
}

/// Returns the seed for the jitter of one call, and advances the sequence: no two calls get the same.
pub(super) fn next_seed(sequence: &AtomicU64) -> u64 {
    // The generator steps by addition, too: without mixing, neighboring seeds would give correlated jitter.
    mix(sequence.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed))
}
