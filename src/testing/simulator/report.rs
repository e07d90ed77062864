use std::{ops::Range, time::Duration};

use super::{Slice, call_times::CallTimes};
use crate::call::Outcome;

/// The course of a simulation, in slices of time; made by [`Simulator::run`](super::Simulator::run).
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    slice: Duration,
    slices: Vec<Slice>,
    /// The times of the calls of each slice that succeeded.
    times: Vec<CallTimes>,
}

impl Report {
    pub(super) fn new(duration: Duration, slice: Duration) -> Self {
        let count = duration.as_nanos().div_ceil(slice.as_nanos()) as u32;
        let slices = (0..count).map(|index| Slice {
            start: slice * index,
            ..Slice::default()
        });
        Report {
            slice,
            slices: slices.collect(),
            times: vec![CallTimes::default(); count as usize],
        }
    }

    /// Returns the slices, in order.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// Returns the slices that begin in a range of time, from the start of the simulation.
    pub fn between(&self, range: Range<Duration>) -> &[Slice] {
        self.slices.get(self.indices(range)).unwrap_or_default()
    }

    /// Returns the sum of the slices that begin in a range of time.
    pub fn total(&self, range: Range<Duration>) -> Slice {
        let slices = self.between(range);
        let mut total = slices.first().copied().unwrap_or_default();
        slices.iter().skip(1).for_each(|slice| total.add(slice));
        total.gauge /= slices.len().max(1) as f64;
        total
    }

    /// Returns the time within which a fraction of the calls succeeded that began in a range of time and did succeed: 0.5 for the
    /// median, 0.99 for the 99th percentile. Zero if none has. It is at most 2 % away from the exact one, and no longer than the
    /// longest time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{Throttle, testing::simulator::{Arrivals, Peer, Simulator}};
    ///
    /// // One call of 25 takes ten times as long as the others.
    /// let peer = Peer::new(100, Duration::from_millis(50)).spread(0.0).slow(0.04, 10.0);
    /// let minute = Duration::from_secs(60);
    /// let report = Simulator::new(peer, Arrivals::open(100.0)).run(minute, |_| None::<Throttle>)?;
    /// let percentile = |fraction| report.percentile(Duration::ZERO..minute, fraction).as_secs_f64();
    /// assert!((percentile(0.5) / 0.05 - 1.0).abs() < 0.02);
    /// assert!((percentile(0.99) / 0.5 - 1.0).abs() < 0.02);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn percentile(&self, range: Range<Duration>, fraction: f64) -> Duration {
        let mut all = CallTimes::default();
        let indices = self.indices(range.clone());
        let times = self.times.get(indices).unwrap_or_default();
        times.iter().for_each(|times| all.add(times));
        all.percentile(fraction).min(self.total(range).max_time)
    }

    /// Returns the indices of the slices that begin in a range of time.
    fn indices(&self, range: Range<Duration>) -> Range<usize> {
        let index = |at| self.slices.partition_point(|slice| slice.start < at);
        index(range.start)..index(range.end)
    }

    pub(super) fn slice_mut(&mut self, at: Duration) -> &mut Slice {
        let index = self.index_of(at);
        &mut self.slices[index]
    }

    fn index_of(&self, at: Duration) -> usize {
        let index = (at.as_nanos() / self.slice.as_nanos()) as usize;
        // Retries may begin after the end.
        index.min(self.slices.len() - 1)
    }

    /// Counts the end of an attempt that began at this time.
    pub(super) fn count_attempt_end(&mut self, began: Duration, outcome: Outcome) {
        let slice = self.slice_mut(began);
        match outcome {
            Outcome::Rejected => slice.rejected += 1,
            Outcome::Overload => slice.overloaded += 1,
            Outcome::TimedOut => slice.timed_out += 1,
            // One that is cancelled has lost against another attempt of its call.
            Outcome::Success | Outcome::Cancelled => {}
            _ => slice.failed += 1,
        }
    }

    /// Counts the success of a call that began at this time.
    pub(super) fn count_success(&mut self, began: Duration, time: Duration) {
        let index = self.index_of(began);
        self.times[index].record(time);
        let slice = &mut self.slices[index];
        slice.succeeded += 1;
        slice.total_time += time;
        slice.max_time = slice.max_time.max(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn report_counts_by_beginning_and_sums_up_slices() {
        let mut report = Report::new(3 * SECOND + SECOND / 2, SECOND);
        assert_eq!(report.slices().len(), 4);
        for (at, gauge) in [(0, 1.0), (1, 2.0), (2, 6.0), (3, 9.0)] {
            let slice = report.slice_mut(at * SECOND);
            (slice.calls, slice.attempts, slice.gauge) = (2, 3, gauge);
            slice.queued = 10 - u64::from(at);
        }
        report.count_success(SECOND * 3 / 2, SECOND);
        report.count_success(SECOND * 2, 3 * SECOND);
        report.count_attempt_end(9 * SECOND, Outcome::TimedOut);
        assert_eq!(report.slices()[3].timed_out, 1, "the last one");
        let total = report.total(SECOND..3 * SECOND);
        assert_eq!((total.start, total.calls, total.queued), (SECOND, 4, 9));
        assert_eq!((total.goodput(), total.attempts_per_call()), (0.5, 1.5));
        assert_eq!(
            (total.mean_time(), total.max_time),
            (2 * SECOND, 3 * SECOND)
        );
        assert_eq!(total.gauge, 4.0);
    }

    #[test]
    fn total_of_nothing_is_empty() {
        let report = Report::new(SECOND, SECOND);
        for range in [SECOND..2 * SECOND, 2 * SECOND..SECOND] {
            let total = report.total(range);
            assert_eq!((total.goodput(), total.attempts_per_call()), (1.0, 0.0));
            assert_eq!((total.mean_time(), total.gauge), (Duration::ZERO, 0.0));
        }
    }
}
