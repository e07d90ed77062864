use std::time::Duration;

use tokio::time::Instant;

/// The clock that cuts time into the buckets of a window. The fast path and the state machine have the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct BucketClock {
    start: Instant,
    bucket_width: u64,
}

impl BucketClock {
    pub(super) fn new(start: Instant, window: Duration, buckets: usize) -> Self {
        // One bucket and a nanosecond at least, since both are divisors. Valid settings are far from that.
        let width = window.as_nanos() / buckets.max(1) as u128;
        let bucket_width = u64::try_from(width).unwrap_or(u64::MAX).max(1);
        BucketClock {
            start,
            bucket_width,
        }
    }

    /// Returns the index of the bucket, counted from 1.
    #[inline]
    pub(super) fn bucket_at(&self, now: Instant) -> u64 {
        // The index 0 is that of a bucket that was never used. The cast wraps after 584 years.
        now.saturating_duration_since(self.start).as_nanos() as u64 / self.bucket_width + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_begins_with_its_first_nanosecond() {
        let start = Instant::now();
        let ticks = BucketClock::new(start, Duration::from_secs(30), 10);
        let nano = Duration::from_nanos(1);
        for (time, tick) in [(0, 1), (3, 2), (30, 11)] {
            let at = start + Duration::from_secs(time);
            assert_eq!(ticks.bucket_at(at), tick);
            assert_eq!(ticks.bucket_at(at + Duration::from_secs(3) - nano), tick);
        }
        assert_eq!(
            ticks.bucket_at(start - nano),
            1,
            "before the first there is none"
        );
    }
}
