use std::time::Duration;

use crate::call::{ConfigError, check_fraction};

/// The share of a service time that is random, of a peer whose calls are much alike.
const DEFAULT_SPREAD: f64 = 0.2;
/// About as many as a listener lets wait.
const DEFAULT_QUEUE: u32 = 1_000;
const MAX_WORKERS: u32 = 100_000;
const MAX_QUEUE: u32 = 1_000_000;
const MAX_FACTOR: f64 = 1_000.0;
pub(super) const MAX_TIME: Duration = Duration::from_secs(3_600);

/// A simulated peer: some workers, each of which serves one call at a time, and a queue before them, in order.
///
/// It serves `workers / time` calls a second at most, and `workers` is its knee: with more calls in flight than that it serves no
/// more, but each takes longer. It does not know who has given up: what a caller no longer waits for is served all the same.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::testing::simulator::Peer;
///
/// // Some 350 calls a second, of which one of twenty takes ten times as long as the others.
/// let peer = Peer::new(50, Duration::from_millis(100)).slow(0.05, 10.0);
/// let down = peer.failure_rate(1.0);
/// assert_ne!(peer, down);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Peer {
    pub(super) workers: u32,
    pub(super) time: Duration,
    pub(super) spread: f64,
    pub(super) slow_share: f64,
    pub(super) slow_factor: f64,
    pub(super) queue: u32,
    pub(super) failure_rate: f64,
}

impl Peer {
    /// Creates a peer with so many workers, 1 to 100,000, each of which takes this time for a call on average: longer than zero, at
    /// most 1 h.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::testing::simulator::Peer;
    ///
    /// // Some 1,000 calls a second.
    /// let peer = Peer::new(50, Duration::from_millis(50));
    /// # let _ = peer;
    /// ```
    pub fn new(workers: u32, time: Duration) -> Self {
        Peer {
            workers,
            time,
            spread: DEFAULT_SPREAD,
            slow_share: 0.0,
            slow_factor: 1.0,
            queue: DEFAULT_QUEUE,
            failure_rate: 0.0,
        }
    }

    /// Sets the fraction of the time that is random, by an exponential distribution: 0 for calls that all take the same time, 1
    /// for those of the textbook's M/M/c queue. Must be 0 to 1. Default: 0.2, since the calls of a peer are much alike.
    pub fn spread(mut self, fraction: f64) -> Self {
        self.spread = fraction;
        self
    }

    /// Makes a fraction of the calls take this many times as long. The fraction must be 0 to 1, the factor 1 to 1,000. Default: none.
    pub fn slow(mut self, fraction: f64, factor: f64) -> Self {
        (self.slow_share, self.slow_factor) = (fraction, factor);
        self
    }

    /// Sets how many calls wait for a worker; others are rejected at once, as overload. Must be at most 1,000,000. Default:
    /// 1,000, which is about what a listener lets wait.
    pub fn queue(mut self, calls: u32) -> Self {
        self.queue = calls;
        self
    }

    /// Sets the fraction of served calls that fail, after the time that others take. Must be 0 to 1. Default: 0.
    pub fn failure_rate(mut self, fraction: f64) -> Self {
        self.failure_rate = fraction;
        self
    }

    /// Draws the time that a worker takes for a call.
    pub(super) fn draw_time(&self, random: &mut fastrand::Rng) -> Duration {
        let is_slow = self.slow_share > 0.0 && random.f64() < self.slow_share;
        let factor = if is_slow { self.slow_factor } else { 1.0 };
        let share = 1.0 - self.spread + self.spread * exponential(random);
        self.time.mul_f64(factor * share)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        const PEER: &str = "simulated peer";
        let error =
            |field, value: String, expected| Err(ConfigError::new(PEER, field, value, expected));
        if !(1..=MAX_WORKERS).contains(&self.workers) {
            return error("workers", self.workers.to_string(), "1 to 100000");
        }
        if self.time.is_zero() || self.time > MAX_TIME {
            let expected = "longer than zero, at most 1 h";
            return error("time", format!("{:?}", self.time), expected);
        }
        if self.queue > MAX_QUEUE {
            return error("queue", self.queue.to_string(), "at most 1000000");
        }
        if !(1.0..=MAX_FACTOR).contains(&self.slow_factor) {
            return error("slow", self.slow_factor.to_string(), "1 to 1000 times");
        }
        check_fraction(PEER, "slow", self.slow_share)?;
        check_fraction(PEER, "spread", self.spread)?;
        check_fraction(PEER, "failure_rate", self.failure_rate)?;
        Ok(())
    }
}

/// Draws from the exponential distribution with the mean 1.
pub(super) fn exponential(random: &mut fastrand::Rng) -> f64 {
    // Of 1 at least sometimes, and of 0 never: the logarithm is finite.
    -(1.0 - random.f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn mean(peer: Peer) -> f64 {
        let mut random = fastrand::Rng::with_seed(7);
        let times = (0..20_000).map(|_| peer.draw_time(&mut random).as_secs_f64());
        times.sum::<f64>() / 20_000.0
    }

    #[test]
    fn times_have_the_mean_that_was_set() {
        for (peer, expected) in [
            (Peer::new(1, SECOND), 1.0),
            (Peer::new(1, SECOND).spread(0.0), 1.0),
            (Peer::new(1, SECOND).spread(1.0), 1.0),
            (Peer::new(1, SECOND).slow(0.05, 10.0), 1.45),
        ] {
            let mean = mean(peer);
            assert!((mean - expected).abs() < expected * 0.03, "{peer:?} {mean}");
        }
    }

    #[test]
    fn peer_that_is_invalid_is_named() {
        let peer = Peer::new(1, SECOND);
        for (field, invalid) in [
            ("workers", Peer::new(0, SECOND)),
            ("time", Peer::new(1, Duration::ZERO)),
            ("time", Peer::new(1, MAX_TIME + SECOND)),
            ("queue", peer.queue(MAX_QUEUE + 1)),
            ("slow", peer.slow(0.1, f64::NAN)),
            ("slow", peer.slow(1.1, 2.0)),
            ("spread", peer.spread(-0.1)),
            ("failure_rate", peer.failure_rate(50.0)),
        ] {
            let error = invalid.check().expect_err(field);
            assert_eq!(error.field(), field, "{error}");
        }
        assert_eq!(peer.check(), Ok(()));
    }
}
