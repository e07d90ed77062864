//! The latency of an endpoint as its calls show it: a moving average that follows a rise at once. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// An estimate of latency by Finagle's peak EWMA: a longer latency replaces it, a shorter one moves it by its age.
///
/// The age is in milliseconds, and wraps after seven weeks: then an endpoint that was not called meanwhile counts as called lately.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LoadEstimate {
    nanos: f32,
    tick: u32,
}

/// A moment in the milliseconds that estimates count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick(u32);

impl Tick {
    pub(super) fn new(start: Instant, now: Instant) -> Self {
        Tick::at(now.saturating_duration_since(start))
    }

    #[inline]
    pub(super) fn at(since_start: Duration) -> Self {
        // The low bits: ticks are only ever compared with others of the last weeks.
        Tick(since_start.as_millis() as u32)
    }
}

impl LoadEstimate {
    /// Returns the estimate after a call: `before` is that of the calls until then.
    pub(super) fn after(
        before: Option<LoadEstimate>,
        latency: Duration,
        decay: Duration,
        now: Tick,
    ) -> Self {
        // Not zero, since a word that is zero stands for no estimate.
        let latency = (latency.as_nanos() as f32).max(1.0);
        let nanos = match before {
            Some(before) if latency < before.nanos && !before.is_stale(decay, now) => {
                let weight = before.weight(decay, now);
                before.nanos * weight + latency * (1.0 - weight)
            }
            _ => latency,
        };
        LoadEstimate {
            nanos,
            // Of two threads the later one, whose clock was read later.
            tick: before.map_or(now.0, |before| before.latest(now)),
        }
    }

    /// Returns the latency that is expected now, in nanoseconds; `None` once no answer has come for the time of the decay, so that an
    /// endpoint that was slow, or has failed, is tried again.
    ///
    /// Finagle's falls by and by until then: there, of equals the one that was not called for longest wins, and one that is new gets
    /// twice what it should.
    pub(super) fn nanos_at(self, decay: Duration, now: Tick) -> Option<f32> {
        (!self.is_stale(decay, now)).then_some(self.nanos)
    }

    fn is_stale(self, decay: Duration, now: Tick) -> bool {
        self.age(now) >= decay
    }

    /// Returns the latency as of the last call.
    pub(super) fn latency(self) -> Duration {
        Duration::from_nanos(self.nanos as u64)
    }

    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.nanos.to_bits()) << 32 | u64::from(self.tick)
    }

    /// Returns the estimate of a word; `None` for zero, since no latency is.
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        (bits != 0).then(|| LoadEstimate {
            nanos: f32::from_bits((bits >> 32) as u32),
            tick: bits as u32,
        })
    }

    /// Returns how much of the estimate is left at its age: `e^(-age / decay)`.
    fn weight(self, decay: Duration, now: Tick) -> f32 {
        (-self.age(now).as_secs_f32() / decay.as_secs_f32()).exp()
    }

    fn age(self, now: Tick) -> Duration {
        let age = now.0.wrapping_sub(self.tick) as i32;
        // A clock read by another thread may be a bit behind.
        Duration::from_millis(age.max(0) as u64)
    }

    fn latest(self, now: Tick) -> u32 {
        match now.0.wrapping_sub(self.tick) as i32 {
            0.. => now.0,
            _ => self.tick,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DECAY: Duration = Duration::from_secs(10);
    const MILLI: Duration = Duration::from_millis(1);

    fn after(before: Option<LoadEstimate>, millis: u32, at: u32) -> LoadEstimate {
        LoadEstimate::after(before, MILLI * millis, DECAY, Tick(at))
    }

    fn millis(estimate: LoadEstimate) -> f32 {
        estimate.nanos / 1e6
    }

    #[test]
    fn longer_latency_replaces_the_estimate_and_shorter_one_moves_it_by_its_age() {
        let first = after(None, 10, 0);
        assert_eq!(millis(first), 10.0);
        assert_eq!(millis(after(Some(first), 100, 0)), 100.0, "at once");
        assert_eq!(millis(after(Some(first), 1, 0)), 10.0, "no time has passed");
        let moved = millis(after(Some(first), 0, 5_000));
        let expected = 10.0 / std::f32::consts::E.sqrt();
        assert!((moved - expected).abs() < 0.01, "{moved}");
        assert_eq!(millis(after(Some(first), 1, 10_000)), 1.0, "stale");
        assert_eq!(first.latency(), MILLI * 10);
    }

    #[test]
    fn estimate_is_unknown_once_no_answer_has_come_for_the_decay() {
        let estimate = after(None, 1_000, 5_000);
        let at = |tick| {
            estimate
                .nanos_at(DECAY, Tick(tick))
                .map(|nanos| nanos / 1e6)
        };
        assert_eq!(at(5_000), Some(1_000.0));
        assert_eq!(at(14_999), Some(1_000.0));
        assert_eq!(at(15_000), None);
        assert_eq!(at(4_000), Some(1_000.0), "read by a thread that is behind");
    }

    #[test]
    fn latency_of_zero_is_an_estimate_and_a_clock_before_the_start_is_at_zero() {
        let estimate = after(None, 0, 0);
        assert_eq!(LoadEstimate::from_bits(estimate.to_bits()), Some(estimate));
        assert_eq!(estimate.latency(), Duration::from_nanos(1));
        assert_eq!(estimate.nanos_at(DECAY, Tick(0)), Some(1.0));
        let start = Instant::now() + DECAY;
        assert_eq!(Tick::new(start, Instant::now()), Tick(0));
    }

    #[test]
    fn ticks_wrap() {
        let before = after(None, 100, u32::MAX - 999);
        let age = before.age(Tick(0));
        assert_eq!(age, Duration::from_secs(1));
        let late = after(Some(before), 200, u32::MAX - 2_000);
        assert_eq!(late.tick, before.tick, "never back");
    }

    proptest! {
        #[test]
        fn estimate_stays_between_the_latencies_that_were_seen(
            calls in proptest::collection::vec((1_u32..5_000, 0_u32..60_000), 1..100),
        ) {
            let (mut now, mut estimate) = (0, None);
            for (latency, pause) in &calls {
                now += pause;
                let next = after(estimate, *latency, now);
                prop_assert_eq!(LoadEstimate::from_bits(next.to_bits()), Some(next));
                prop_assert!(millis(next) >= *latency as f32 * 0.999_99);
                estimate = Some(next);
            }
            let max = calls.iter().map(|call| call.0).max().unwrap_or_default();
            prop_assert!(estimate.is_some_and(|estimate| millis(estimate) <= max as f32 * 1.000_01));
        }
    }
}
