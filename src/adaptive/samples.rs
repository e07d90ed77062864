use std::time::Duration;

use tokio::time::Instant;

use super::Window;
use crate::util::duration::saturating_nanos;

/// The times that are kept of a window, for its quantile: of more calls, every second is kept, then every fourth, and so on.
const KEPT: usize = 256;
/// The calls that a window needs: of fewer, a quantile says little.
const MIN_CALLS: u64 = 50;
/// The shortest window, in which a change of the limit has had an effect.
const MIN_DURATION: Duration = Duration::from_secs(1);
/// The longest time that a window is held open for slow calls.
const MAX_DURATION: Duration = Duration::from_secs(30);

/// The calls of the window that is not over yet. Times are from the head on, or the whole of a call without one.
///
/// A window is over at the end of a call, once it has 50 calls and lasts as long as two of them, at least 1 s and at most 30 s:
/// the windows of failsafe-go.
#[derive(Debug)]
pub(super) struct Samples {
    began: Option<Began>,
    /// In nanoseconds, as all times here: calls add to them, and durations take several times as long to compare and to add.
    kept: Vec<u64>,
    /// The number of calls of which one is kept: a power of two.
    stride: u64,
    totals: Totals,
}

/// The moment at which a window began.
#[derive(Clone, Copy, Debug)]
struct Began {
    at: Instant,
    /// The earliest moment at which the window can be over: most calls end before that, and compare two moments only.
    earliest_end: Instant,
}

impl Began {
    fn new(at: Instant) -> Self {
        Began {
            at,
            earliest_end: at + MIN_DURATION,
        }
    }
}

/// The figures of all calls of a window.
#[derive(Clone, Copy, Debug)]
struct Totals {
    samples: u64,
    overloads: u64,
    /// The largest number while there are no samples.
    min: u64,
    sum: u64,
    max_in_flight: u32,
    was_full: bool,
}

impl Samples {
    pub(super) fn new() -> Self {
        Samples {
            began: None,
            // Once, so that no call allocates.
            kept: Vec::with_capacity(KEPT),
            stride: 1,
            totals: Totals::NONE,
        }
    }

    /// Adds a call that took so long, with the calls in flight at its end.
    #[inline]
    pub(super) fn add(&mut self, time: Duration, in_flight: u32, is_full: bool) {
        let time = saturating_nanos(time);
        if self.keeps_next() {
            if self.kept.len() == KEPT {
                self.thin_out();
            }
            if self.keeps_next() {
                self.kept.push(time);
            }
        }
        let totals = &mut self.totals;
        totals.samples += 1;
        totals.min = totals.min.min(time);
        totals.sum = totals.sum.saturating_add(time);
        totals.see(in_flight, is_full);
    }

    /// Adds a call that tells of an overload.
    pub(super) fn add_overload(&mut self, in_flight: u32, is_full: bool) {
        self.totals.overloads += 1;
        self.totals.see(in_flight, is_full);
    }

    /// Returns whether the next call is one of those that are kept.
    #[inline]
    fn keeps_next(&self) -> bool {
        // Not a remainder, which is a division: the stride is a power of two.
        self.totals.samples & (self.stride - 1) == 0
    }

    /// Keeps every second time of those that are kept.
    #[cold]
    fn thin_out(&mut self) {
        let mut nth = 0;
        self.kept.retain(|_| {
            nth += 1;
            nth % 2 == 1
        });
        self.stride *= 2;
    }

    /// Returns the window if it is over, and begins the next one.
    #[inline]
    pub(super) fn take_window(&mut self, now: Instant) -> Option<Window> {
        let began = *self.began.get_or_insert_with(|| Began::new(now));
        let calls = self.totals.samples + self.totals.overloads;
        match now < began.earliest_end || calls < MIN_CALLS {
            true => None,
            false => self.take_if_due(began.at, now),
        }
    }

    fn take_if_due(&mut self, began: Instant, now: Instant) -> Option<Window> {
        let duration = now.saturating_duration_since(began);
        let totals = self.totals;
        let min = totals.shortest();
        if duration < (min * 2).clamp(MIN_DURATION, MAX_DURATION) {
            return None;
        }
        let window = Window {
            duration,
            samples: totals.samples,
            overloads: totals.overloads,
            min,
            mean: Duration::from_nanos(totals.sum).div_f64(totals.samples.max(1) as f64),
            p90: self.p90(),
            max_in_flight: totals.max_in_flight,
            was_full: totals.was_full,
        };
        (self.began, self.stride, self.totals) = (Some(Began::new(now)), 1, Totals::NONE);
        self.kept.clear();
        Some(window)
    }

    fn p90(&mut self) -> Duration {
        let index = (self.kept.len() * 9).div_ceil(10).saturating_sub(1);
        match self.kept.is_empty() {
            true => Duration::ZERO,
            false => Duration::from_nanos(*self.kept.select_nth_unstable(index).1),
        }
    }
}

impl Totals {
    const NONE: Totals = Totals {
        samples: 0,
        overloads: 0,
        min: u64::MAX,
        sum: 0,
        max_in_flight: 0,
        was_full: false,
    };

    /// Returns the shortest time; zero if there is none.
    fn shortest(&self) -> Duration {
        match self.samples {
            0 => Duration::ZERO,
            _ => Duration::from_nanos(self.min),
        }
    }

    #[inline]
    fn see(&mut self, in_flight: u32, is_full: bool) {
        self.max_in_flight = self.max_in_flight.max(in_flight);
        self.was_full |= is_full;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn window_is_over_after_fifty_calls_and_a_second() {
        let start = Instant::now();
        let mut samples = Samples::new();
        assert_eq!(samples.take_window(start), None);
        for n in 0..49 {
            samples.add((n + 1) * MILLI, n, false);
        }
        assert_eq!(
            samples.take_window(start + 10 * MIN_DURATION),
            None,
            "49 calls"
        );
        samples.add_overload(70, true);
        assert_eq!(samples.take_window(start + 999 * MILLI), None, "too early");
        let window = samples.take_window(start + MIN_DURATION).expect("over");
        assert_eq!((window.samples, window.overloads), (49, 1));
        assert_eq!(
            (window.min, window.mean, window.p90),
            (MILLI, 25 * MILLI, 45 * MILLI)
        );
        assert_eq!((window.max_in_flight, window.was_full), (70, true));
        assert_eq!(window.duration, MIN_DURATION);
        assert!(window.is_overloaded());
        assert_eq!(
            samples.take_window(start + 60 * MIN_DURATION),
            None,
            "a new one"
        );
    }

    #[test]
    fn window_of_slow_calls_lasts_for_two_of_them() {
        let start = Instant::now();
        for (time, due) in [(2, 4), (14, 28), (40, 30)] {
            let mut samples = Samples::new();
            samples.take_window(start);
            (0..50).for_each(|_| samples.add(MIN_DURATION * time, 1, false));
            assert_eq!(
                samples.take_window(start + MIN_DURATION * due - MILLI),
                None
            );
            assert!(samples.take_window(start + MIN_DURATION * due).is_some());
        }
    }

    #[test]
    fn window_of_overloads_alone_has_no_time() {
        let start = Instant::now();
        let mut samples = Samples::new();
        samples.take_window(start);
        (0..50).for_each(|_| samples.add_overload(5, true));
        let window = samples.take_window(start + MIN_DURATION).expect("over");
        assert_eq!(
            (window.min, window.mean, window.p90),
            (Duration::ZERO, Duration::ZERO, Duration::ZERO)
        );
        assert!(window.is_overloaded());
    }

    proptest! {
        /// Whatever their number, the times that are kept are spread over all calls.
        #[test]
        fn quantile_is_near_the_exact_one(calls in 50..5_000_u32) {
            let start = Instant::now();
            let mut samples = Samples::new();
            samples.take_window(start);
            (1..=calls).for_each(|n| samples.add(n * MILLI, 1, false));
            let window = samples.take_window(start + 2 * MAX_DURATION).expect("over");
            let (p90, exact) = (window.p90.as_secs_f64(), f64::from(calls) * 0.9e-3);
            prop_assert!((p90 - exact).abs() <= exact * 0.03, "{p90} for {exact}");
            prop_assert_eq!(window.samples, u64::from(calls));
        }
    }
}
