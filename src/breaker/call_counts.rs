use super::call_sample::CallSample;

/// The number of calls in a window, in all and of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallCounts {
    /// All calls that count.
    pub calls: u64,
    /// Calls that have failed.
    pub failures: u64,
    /// Calls that took at least the slow limit to their head, failed or not.
    pub slow: u64,
}

impl CallCounts {
    pub(super) fn record(&mut self, sample: CallSample, times: u64) {
        self.calls += times;
        self.failures += if sample.is_failure() { times } else { 0 };
        self.slow += if sample.is_slow() { times } else { 0 };
    }

    pub(super) fn add(&mut self, other: CallCounts) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
    }

    /// Returns one of these calls by its index, where failures and slow calls are spread evenly among them.
    pub(super) fn sample(&self, index: u64) -> CallSample {
        let share =
            |part: u64, calls: u64| u128::from(part) * u128::from(calls) / u128::from(self.calls);
        let is_one_of = |part: u64| share(part, index + 1) > share(part, index);
        match (is_one_of(self.failures), is_one_of(self.slow)) {
            (false, false) => CallSample::Success,
            (false, true) => CallSample::SlowSuccess,
            (true, false) => CallSample::Failure,
            (true, true) => CallSample::SlowFailure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_counts_have_their_numbers_in_any_order_of_slow_and_failed_ones() {
        for (failures, slow) in [(0, 0), (1, 0), (0, 1), (3, 5), (5, 3), (7, 7), (2, 7)] {
            let counts = CallCounts {
                calls: 7,
                failures,
                slow,
            };
            let mut seen = CallCounts::default();
            for index in 0..7 {
                seen.record(counts.sample(index), 1);
            }
            assert_eq!(seen, counts);
        }
        let halves = CallCounts {
            calls: 4,
            failures: 2,
            slow: 4,
        };
        let samples = [0, 1, 2, 3].map(|index| halves.sample(index));
        use CallSample::{SlowFailure, SlowSuccess};
        assert_eq!(
            samples,
            [SlowSuccess, SlowFailure, SlowSuccess, SlowFailure]
        );
        // Any number of calls fits.
        let many = CallCounts {
            calls: u64::MAX,
            failures: u64::MAX,
            slow: 0,
        };
        assert_eq!(many.sample(u64::MAX - 1), CallSample::Failure);
    }
}
